package client

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
	"k8s.io/kms/pkg/service"

	"kekd.dev/tests/upstream/kekd"
)

// The limits of the API server, from both sides: what kekd answers passes its validation, and what kekd is asked beyond
// them is refused. After envelope_test.go of k8s.io/apiserver.

// answerOf is one Encrypt through kekd, of as many bytes.
func answerOf(t testing.TB, s service.Service, size int) *service.EncryptResponse {
	t.Helper()
	response, err := s.Encrypt(testContext(t), uid, bytes.Repeat([]byte{'p'}, size))
	must(t, err)
	return response
}

// refuses has kekd refuse a request that was changed.
func refuses(t *testing.T, s service.Service, name, want string, change func(*service.DecryptRequest)) {
	t.Run(name, func(t *testing.T) {
		response := answerOf(t, s, 32)
		request := &service.DecryptRequest{Ciphertext: response.Ciphertext, KeyID: response.KeyID}
		_, err := s.Decrypt(testContext(t), uid, request)
		must(t, err)
		change(request)
		plaintext, err := s.Decrypt(testContext(t), uid, request)
		mustFail(t, err, want)
		if plaintext != nil {
			t.Error("an error and a plaintext")
		}
	})
}

func TestValidateEncryptedObject(t *testing.T) {
	t.Parallel()
	s := connect(t, kekd.Started(t).Endpoint(), t.Name(), 3*time.Second)
	response := answerOf(t, s, 32)
	sound := &kmstypes.EncryptedObject{EncryptedData: []byte{0}, EncryptedDEKSource: response.Ciphertext, KeyID: response.KeyID, Annotations: response.Annotations}
	for _, sourceType := range []kmstypes.EncryptedDEKSourceType{0, 1} {
		sound.EncryptedDEKSourceType = sourceType
		must(t, kmsv2.ValidateEncryptedObject(sound))
	}
	mustFail(t, kmsv2.ValidateEncryptedObject(nil), "encrypted object is nil")
	for want, change := range map[string]func(*kmstypes.EncryptedObject){
		"encrypted data is empty":                                                      func(o *kmstypes.EncryptedObject) { o.EncryptedData = nil },
		"unknown encryptedDEKSourceType: 55":                                           func(o *kmstypes.EncryptedObject) { o.EncryptedDEKSourceType = 55 },
		"failed to validate encrypted DEK source: encrypted DEK source is empty":       func(o *kmstypes.EncryptedObject) { o.EncryptedDEKSource = nil },
		"failed to validate key id: keyID is empty":                                    func(o *kmstypes.EncryptedObject) { o.KeyID = "" },
		`failed to validate annotations: annotations: Invalid value: "@": a lowercase`: func(o *kmstypes.EncryptedObject) { o.Annotations = map[string][]byte{"@": nil} },
	} {
		object := proto.CloneOf(sound)
		change(object)
		mustFail(t, kmsv2.ValidateEncryptedObject(object), want)
	}
}

func TestValidateAnnotations(t *testing.T) {
	t.Parallel()
	s := connect(t, kekd.Started(t).Endpoint(), t.Name(), 3*time.Second)
	response := answerOf(t, s, 32)
	must(t, validateAnnotations(response.Annotations))
	if len(response.Annotations) != 0 {
		t.Errorf("kekd writes no annotations, got %q", response.Annotations)
	}
	label := strings.Repeat("a", 63)
	// Names that the API server lets through: kekd wrote none of them, and refuses each.
	for _, name := range []string{"a.com", "k8s.io", "dev.k8s.io", "dev.k8s.io.", "foo.example.com", "this.is.a.really.long.fqdn", "bbc.co.uk",
		"10.0.0.1", "hyphens-are-good.k8s.io", label + ".k8s.io", strings.Join([]string{label, label, label, strings.Repeat("d", 54), "k8s.io"}, ".")} {
		must(t, validateAnnotations(map[string][]byte{name: []byte("bar")}))
		refuses(t, s, name, "code = InvalidArgument", func(r *service.DecryptRequest) { r.Annotations = map[string][]byte{name: []byte("bar")} })
	}
	const atLeastTwo, subdomain = "should be a domain with at least two segments separated by dots", "a lowercase RFC 1123 subdomain"
	for name, want := range map[string]string{
		".": subdomain, "...": subdomain, ".io": subdomain, "com": atLeastTwo, ".com": subdomain, "Dev.k8s.io": subdomain, ".foo.example.com": subdomain,
		"*.example.com": subdomain, "*.bar.com": subdomain, "*.foo.bar.com": subdomain, "underscores_are_bad.k8s.io": subdomain,
		"foo@bar.example.com": subdomain, "http://foo.example.com": subdomain, "a" + label + ".k8s.io": "must be no more than 63 characters",
		strings.Join([]string{label, label, label, strings.Repeat("d", 55), "k8s.io"}, "."): "must be no more than 253 characters",
	} {
		mustFail(t, validateAnnotations(map[string][]byte{name: []byte("bar")}), want)
		refuses(t, s, name, "code = InvalidArgument", func(r *service.DecryptRequest) { r.Annotations = map[string][]byte{name: []byte("bar")} })
	}
	for _, size := range []int{32 * 1024, 33 * 1024, 48 * 1024} {
		annotations := map[string][]byte{"simple": bytes.Repeat([]byte("a"), size)}
		mustFail(t, validateAnnotations(annotations), "which exceeds the max size of")
		refuses(t, s, fmt.Sprint(size), "code = InvalidArgument", func(r *service.DecryptRequest) { r.Annotations = annotations })
	}
}

func TestValidateKeyID(t *testing.T) {
	t.Parallel()
	k := kekd.NewNamed(t, strings.Repeat("n", 63)) // the longest there is
	k.Start()
	s := connect(t, k.Endpoint(), t.Name(), 3*time.Second)
	if code, err := kmsv2.ValidateKeyID(answerOf(t, s, 32).KeyID); err != nil || code != "ok" {
		t.Errorf("want ok, got %s, %v", code, err)
	}
	code, err := kmsv2.ValidateKeyID("")
	mustFail(t, err, "keyID is empty")
	if code != "empty" {
		t.Error(code)
	}
	refuses(t, s, "empty key ID", "code = InvalidArgument", func(r *service.DecryptRequest) { r.KeyID = "" })
	long := strings.Repeat("a", 1025)
	code, err = kmsv2.ValidateKeyID(long)
	mustFail(t, err, "which exceeds the max size of")
	if code != "too_long" {
		t.Error(code)
	}
	refuses(t, s, "keyID size is greater than 1 kB", "code = InvalidArgument", func(r *service.DecryptRequest) { r.KeyID = long })
	refuses(t, s, "another key ID", "code = NotFound", func(r *service.DecryptRequest) { r.KeyID += "0" })
}

func TestValidateEncryptedDEKSource(t *testing.T) {
	t.Parallel()
	s := connect(t, kekd.Started(t).Endpoint(), t.Name(), 3*time.Second)
	for _, size := range []int{32, 1, 512} { // what an API server sends, and the least and the most that kekd takes
		must(t, validateEncryptedDEKSource(answerOf(t, s, size).Ciphertext))
	}
	mustFail(t, validateEncryptedDEKSource(nil), "encrypted DEK source is empty")
	mustFail(t, validateEncryptedDEKSource([]byte{}), "encrypted DEK source is empty")
	mustFail(t, validateEncryptedDEKSource(bytes.Repeat([]byte("a"), 1025)), "which exceeds the max size of")
	refuses(t, s, "encrypted DEK source is empty", "code = InvalidArgument", func(r *service.DecryptRequest) { r.Ciphertext = nil })
	refuses(t, s, "encrypted DEK source size is greater than 1 kB", "code = InvalidArgument", func(r *service.DecryptRequest) {
		r.Ciphertext = slices.Concat(r.Ciphertext, bytes.Repeat([]byte("a"), 1025-len(r.Ciphertext)))
	})
	refuses(t, s, "one byte more", "code = InvalidArgument", func(r *service.DecryptRequest) { r.Ciphertext = append(r.Ciphertext, 1) })
}

// TestGenerateCacheKey: an entry of the API server's cache is one DEK source. Whatever of it differs makes another key, and
// two answers of kekd always differ, also those on the same plaintext.
func TestGenerateCacheKey(t *testing.T) {
	t.Parallel()
	k := kekd.Started(t)
	s := connect(t, k.Endpoint(), t.Name(), 3*time.Second)
	answers := []*service.EncryptResponse{answerOf(t, s, 32), answerOf(t, s, 32)}
	k.Rotate()
	answers = append(answers, answerOf(t, s, 32))
	seen := map[string]string{}
	for _, sourceType := range []kmstypes.EncryptedDEKSourceType{0, 1} {
		for i, answer := range answers {
			for j, annotations := range []map[string][]byte{nil, {"a": {4, 5}, "b": {6, 7}}, {"x": {9, 10}, "y": {11, 12}}} {
				name := fmt.Sprint(sourceType, i, j)
				key, err := generateCacheKey(sourceType, answer.Ciphertext, answer.KeyID, annotations)
				must(t, err)
				again, err := generateCacheKey(sourceType, slices.Clone(answer.Ciphertext), answer.KeyID, annotations)
				must(t, err)
				if other, found := seen[string(key)]; found || !bytes.Equal(key, again) {
					t.Errorf("%s: same as %q, or not the same twice", name, other)
				}
				seen[string(key)] = name
			}
		}
	}
}
