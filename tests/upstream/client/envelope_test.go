package client

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
	"k8s.io/kms/pkg/service"
	testingclock "k8s.io/utils/clock/testing"

	"kekd.dev/tests/upstream/kekd"
)

// After envelope_test.go of k8s.io/apiserver. A state is what the probe keeps of the last good Status and Encrypt.

const text = "abcdefghijklmnopqrstuvwxyz"

func makeState(t testing.TB, s service.Service, provider string, useSeed bool) kmsv2.State {
	t.Helper()
	transformer, object, cacheKey, err := kmsv2.GenerateTransformer(testContext(t), uid, s, useSeed)
	must(t, err)
	return kmsv2.State{
		Transformer: transformer, EncryptedObjectKeyID: object.KeyID, EncryptedObjectEncryptedDEKSource: object.EncryptedDEKSource,
		EncryptedObjectAnnotations: object.Annotations, EncryptedObjectEncryptedDEKSourceType: object.EncryptedDEKSourceType,
		UID: uid, ExpirationTimestamp: time.Now().Add(time.Hour), CacheKey: cacheKey, KMSProviderName: provider,
	}
}

// bothKinds runs a test with what Kubernetes 1.27 wrote and with what 1.29 and later do.
func bothKinds(t *testing.T, test func(t *testing.T, useSeed bool)) {
	for name, useSeed := range map[string]bool{"regular gcm": false, "extended nonce gcm": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, useSeed)
		})
	}
}

func write(t testing.TB, transformer value.Transformer) []byte {
	t.Helper()
	stored, err := transformer.TransformToStorage(testContext(t), []byte(text), atKey)
	must(t, err)
	return stored
}

func read(t testing.TB, transformer value.Transformer, stored []byte) (stale bool) {
	t.Helper()
	got, stale, err := transformer.TransformFromStorage(testContext(t), stored, atKey)
	must(t, err)
	if string(got) != text {
		t.Fatalf("want %q, got %q", text, got)
	}
	return stale
}

func readFails(t testing.TB, transformer value.Transformer, stored []byte, want string) {
	t.Helper()
	_, _, err := transformer.TransformFromStorage(testContext(t), stored, atKey)
	mustFail(t, err, want)
}

func TestEnvelopeCaching(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		ttl          time.Duration
		down         bool
		wantErr      string
		wantDecrypts int
	}{
		{name: "entry in cache should withstand plugin failure", ttl: 5 * time.Minute, down: true},
		{name: "cache entry expired should not withstand plugin failure", ttl: time.Millisecond, down: true,
			wantErr: "failed to decrypt DEK, error: rpc error: code = ", wantDecrypts: 10},
		{name: "cache entry expired should work after cache refresh", ttl: time.Millisecond, wantDecrypts: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bothKinds(t, func(t *testing.T, useSeed bool) {
				k := kekd.Started(t)
				s := &watched{real: connect(t, k.Endpoint(), t.Name(), time.Second)}
				clock := testingclock.NewFakeClock(time.Now())
				state := makeState(t, s, t.Name(), useSeed)
				transformer := newEnvelopeTransformerWithClock(s, t.Name(), func() (kmsv2.State, error) { return state, nil },
					apiServerID, test.ttl, clock)
				stored := write(t, transformer)
				read(t, transformer, stored)
				clock.Step(2 * time.Minute)
				// A write under another DEK source takes expired entries out of the cache.
				state = makeState(t, s, t.Name(), useSeed)
				write(t, transformer)
				if test.down {
					k.Kill()
				}
				for range 10 {
					if test.wantErr == "" {
						read(t, transformer, stored)
					} else {
						readFails(t, transformer, stored, test.wantErr)
					}
				}
				if got := s.counts().decrypts; got != test.wantDecrypts {
					t.Errorf("want %d Decrypts, got %d", test.wantDecrypts, got)
				}
			})
		})
	}
}

func TestEnvelopeTransformerStaleness(t *testing.T) {
	t.Parallel()
	const gcm, seed = kmstypes.EncryptedDEKSourceType_AES_GCM_KEY, kmstypes.EncryptedDEKSourceType_HKDF_SHA256_XNONCE_AES_GCM_SEED
	for _, test := range []struct {
		name        string
		write, read kmstypes.EncryptedDEKSourceType
		rotated     bool
		down        bool
		wantStale   bool
	}{
		{name: "stateFunc returns err", down: true},
		{name: "stateFunc returns same keyID, not using seed", write: gcm, read: gcm},
		{name: "stateFunc returns same keyID, using seed", write: seed, read: seed},
		{name: "stateFunc returns same keyID, migrating away from seed", write: seed, read: gcm, wantStale: true},
		{name: "stateFunc returns same keyID, migrating to seed", write: gcm, read: seed, wantStale: true},
		{name: "stateFunc returns different keyID", write: seed, read: seed, rotated: true, wantStale: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := kekd.Started(t)
			s := connect(t, k.Endpoint(), t.Name(), time.Second)
			state := makeState(t, s, t.Name(), test.write == seed)
			var stateErr error
			transformer := kmsv2.NewEnvelopeTransformer(s, t.Name(), func() (kmsv2.State, error) { return state, stateErr }, apiServerID)
			stored := write(t, transformer)
			if test.down {
				k.Kill()
				_, stateErr = s.Status(testContext(t))
				readFails(t, transformer, stored, stateErr.Error())
				return
			}
			if test.rotated {
				k.Rotate()
			}
			state = makeState(t, s, t.Name(), test.read == seed)
			if stale := read(t, transformer, stored); stale != test.wantStale {
				t.Errorf("want stale %v, got %v", test.wantStale, stale)
			}
		})
	}
}

func TestEnvelopeTransformerStateFunc(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, useSeed bool) {
		k := kekd.Started(t)
		s := connect(t, k.Endpoint(), t.Name(), time.Second)
		state := makeState(t, s, t.Name(), useSeed)
		other := makeState(t, s, t.Name(), useSeed)
		stateErr := fmt.Errorf("some state error")
		transformer := kmsv2.NewEnvelopeTransformer(s, t.Name(), func() (kmsv2.State, error) { return state, stateErr }, apiServerID)
		underOther := write(t, kmsv2.NewEnvelopeTransformer(s, t.Name(), func() (kmsv2.State, error) { return other, nil }, apiServerID))

		// Nothing works when the state is broken, although kekd could decrypt.
		_, err := transformer.TransformToStorage(testContext(t), []byte(text), atKey)
		mustFail(t, err, stateErr.Error())
		readFails(t, transformer, underOther, stateErr.Error())
		// Everything works when the state is fixed,
		stateErr = nil
		stored := write(t, transformer)
		read(t, transformer, stored)
		// even when the plugin is down.
		k.Kill()
		read(t, transformer, write(t, transformer))
		// Writes fail when the state is invalid too; reads succeed, but those of another DEK.
		state.ExpirationTimestamp = time.Now().Add(-time.Hour)
		_, err = transformer.TransformToStorage(testContext(t), []byte(text), atKey)
		mustFail(t, err, `encryptedDEKSource with keyID hash "`+hash(state.EncryptedObjectKeyID)+`" expired at`)
		read(t, transformer, stored)
		readFails(t, transformer, underOther, "failed to decrypt DEK, error: rpc error: code = ")
	})
}

func TestTransformToStorageError(t *testing.T) {
	t.Parallel()
	s := &watched{real: connect(t, kekd.Started(t).Endpoint(), t.Name(), 3*time.Second)}
	stateFunc := func() (kmsv2.State, error) {
		transformer, object, _, err := kmsv2.GenerateTransformer(context.Background(), uid, s, true)
		if err != nil {
			return kmsv2.State{}, err
		}
		return kmsv2.State{Transformer: transformer, EncryptedObjectKeyID: object.KeyID}, nil
	}
	transformer := kmsv2.NewEnvelopeTransformer(s, t.Name(), stateFunc, apiServerID)
	for name, annotations := range map[string]map[string][]byte{
		"invalid annotation key":          {"http://foo.example.com": []byte("bar")},
		"annotation value size too large": {"example.com": bytes.Repeat([]byte("a"), 32*1024)},
		"annotations size too large":      {"one.example.com": bytes.Repeat([]byte("a"), 31*1024), "two.example.com": bytes.Repeat([]byte("a"), 1024)},
	} {
		t.Run(name, func(t *testing.T) {
			s.spoilEncrypt = func(response *service.EncryptResponse) { response.Annotations = annotations }
			_, err := transformer.TransformToStorage(testContext(t), []byte(text), atKey)
			mustFail(t, err, "failed to validate annotations")
		})
	}
}

func TestGenerateTransformer(t *testing.T) {
	t.Parallel()
	k := kekd.Started(t)
	s := &watched{real: connect(t, k.Endpoint(), t.Name(), time.Second)}
	generate := func(t *testing.T) error {
		for _, useSeed := range []bool{false, true} {
			transformer, object, cacheKey, err := kmsv2.GenerateTransformer(testContext(t), "panda", s, useSeed)
			if err != nil {
				return err
			}
			if transformer == nil || object == nil || cacheKey == nil {
				t.Error("no error, and nothing either")
			}
		}
		return nil
	}
	t.Run("success", func(t *testing.T) { must(t, generate(t)) })
	for _, test := range []struct {
		name, want string
		spoil      func(*service.EncryptResponse)
	}{
		{"invalid key ID", "failed to validate key id: keyID is empty", func(r *service.EncryptResponse) { r.KeyID = "" }},
		{"invalid encrypted DEK", "failed to validate encrypted DEK source: encrypted DEK source is empty", func(r *service.EncryptResponse) { r.Ciphertext = nil }},
		{"invalid annotations", "should be a domain with at least two segments separated by dots", func(r *service.EncryptResponse) { r.Annotations = map[string][]byte{"invalid": {}} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.spoilEncrypt = test.spoil
			mustFail(t, generate(t), test.want)
		})
	}
	t.Run("encrypt call fails", func(t *testing.T) {
		k.Kill()
		mustFail(t, generate(t), "failed to encrypt DEK, error: rpc error: code = ")
	})
}

func TestCacheNotCorrupted(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, useSeed bool) {
		// kekd never answers the same ciphertext twice; with the cache emptied between, both values are opened through it.
		k := kekd.Started(t)
		s := &watched{real: connect(t, k.Endpoint(), t.Name(), 3*time.Second)}
		var stored [][]byte
		var last kmsv2.State
		for range 2 {
			state := makeState(t, s, t.Name(), useSeed)
			if bytes.Equal(state.EncryptedObjectEncryptedDEKSource, last.EncryptedObjectEncryptedDEKSource) || bytes.Equal(state.CacheKey, last.CacheKey) {
				t.Error("the same DEK source twice")
			}
			stored = append(stored, write(t, kmsv2.NewEnvelopeTransformer(s, t.Name(), func() (kmsv2.State, error) { return state, nil }, apiServerID)))
			last = state
			k.Rotate()
		}
		restarted := kmsv2.NewEnvelopeTransformer(s, t.Name(), func() (kmsv2.State, error) { return last, nil }, apiServerID)
		for _, one := range append(stored, stored...) {
			read(t, restarted, one)
		}
		if got := s.counts().decrypts; got != 2 {
			t.Errorf("want one Decrypt for each of the two, got %d", got)
		}
	})
}

func TestEncodeDecode(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, useSeed bool) {
		s := connect(t, kekd.Started(t).Endpoint(), t.Name(), 3*time.Second)
		state := makeState(t, s, t.Name(), useSeed)
		stored := write(t, kmsv2.NewEnvelopeTransformer(s, t.Name(), func() (kmsv2.State, error) { return state, nil }, apiServerID))
		object := &kmstypes.EncryptedObject{}
		must(t, proto.Unmarshal(stored, object))
		want := &kmstypes.EncryptedObject{
			EncryptedData: object.EncryptedData, KeyID: state.EncryptedObjectKeyID, EncryptedDEKSource: state.EncryptedObjectEncryptedDEKSource,
			EncryptedDEKSourceType: state.EncryptedObjectEncryptedDEKSourceType,
		}
		if !proto.Equal(object, want) {
			t.Errorf("want %v, got %v", want, object)
		}
	})
}

// TestEnvelopeMetricsCache restarts an API server on the objects of ten seeds: ten entries in its cache, ten Decrypts.
func TestEnvelopeMetricsCache(t *testing.T) {
	t.Parallel()
	const seeds = 10
	s := &watched{real: connect(t, kekd.Started(t).Endpoint(), t.Name(), 3*time.Second)}
	one, two := t.Name()+"-one", t.Name()+"-two"
	state := makeState(t, s, two, true)
	constant := func() (kmsv2.State, error) { return state, nil }
	changing := kmsv2.NewEnvelopeTransformer(s, one, func() (kmsv2.State, error) { return makeState(t, s, one, true), nil }, apiServerID)
	var stored [][]byte
	for range seeds {
		stored = append(stored, write(t, changing))
	}
	restarted := kmsv2.NewEnvelopeTransformer(s, one, constant, apiServerID)
	other := kmsv2.NewEnvelopeTransformer(s, two, constant, apiServerID)
	var calls sync.WaitGroup
	for i := range seeds {
		calls.Go(func() { read(t, restarted, stored[i]) })
		calls.Go(func() { write(t, other) })
	}
	calls.Wait()
	const metric = "apiserver_envelope_encryption_dek_source_cache_size"
	for provider, want := range map[string]int{one: seeds, two: 1} {
		got := strings.Join(metrics(t, metric, provider), "\n")
		if want := fmt.Sprintf(`%s{provider_name="%s"} %d`, metric, provider, want); got != want {
			t.Errorf("want %s, got %s", want, got)
		}
	}
	if got := s.counts().decrypts; got != seeds {
		t.Errorf("want %d Decrypts, got %d", seeds, got)
	}
}
