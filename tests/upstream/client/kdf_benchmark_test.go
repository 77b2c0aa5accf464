package client

import (
	"bytes"
	"testing"

	"kekd.dev/tests/upstream/kekd"
)

// After BenchmarkKMSv2KDF of Kubernetes' integration tests: a thousand Secrets, of 0 to 1 MB, written and read, with a key and
// with a seed. Upstream's has etcd in it, this one has not: it is the KDF that it is about.
func BenchmarkKMSv2KDF(b *testing.B) {
	const count = 1000
	for name, gcm := range map[string]bool{"regular_gcm": true, "extended_nonce_gcm": false} {
		b.Run(name, func(b *testing.B) {
			k := kekd.Started(b)
			s := newServer(b, k.Endpoint(), serverOptions{gcm: gcm})
			for b.Loop() {
				for i := range count {
					data := bytes.Repeat([]byte{1, 3, 3, 7}, i*count/4)
					stored, err := s.transformer().TransformToStorage(b.Context(), data, atKey)
					must(b, err)
					got, stale, err := s.transformer().TransformFromStorage(b.Context(), stored, atKey)
					if err != nil || stale || !bytes.Equal(got, data) {
						b.Fatalf("object %d: stale %v, %v", i, stale, err)
					}
				}
			}
			b.StopTimer()
			if got := k.Status(); got.Encrypts != 1 || got.Decrypts != 0 {
				b.Errorf("want one Encrypt for all of it, got %+v", got)
			}
		})
	}
}
