package client

import (
	"bytes"
	"context"
	"crypto/aes"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage/value"
	aestransformer "k8s.io/apiserver/pkg/storage/value/encrypt/aes"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
	"k8s.io/kms/pkg/service"

	"kekd.dev/tests/upstream/kekd"
)

// After kmsv2_transformation_test.go of Kubernetes' integration tests, which start an API server inside themselves and change what
// no flag of a real one can: whether a key or a seed is written ("regular gcm"), and its clock. tests/e2e has those that a real
// API server can be brought to.

const firstCounter = 1_000_000_001

// open decrypts a stored value with what kekd was given to encrypt, and nothing of kekd's.
func open(t testing.TB, object *kmstypes.EncryptedObject, dekSource []byte, at value.Context) ([]byte, error) {
	t.Helper()
	var transformer value.Read
	var err error
	if object.EncryptedDEKSourceType == kmstypes.EncryptedDEKSourceType_HKDF_SHA256_XNONCE_AES_GCM_SEED {
		transformer, err = aestransformer.NewHKDFExtendedNonceGCMTransformer(dekSource)
	} else {
		block, blockErr := aes.NewCipher(dekSource)
		must(t, blockErr)
		transformer, err = aestransformer.NewGCMTransformer(block)
	}
	must(t, err)
	plain, _, err := transformer.TransformFromStorage(context.Background(), object.EncryptedData, at)
	return plain, err
}

// counterOf is the counter in the nonce of a value under a key.
func counterOf(object *kmstypes.EncryptedObject) uint64 {
	return binary.LittleEndian.Uint64(object.EncryptedData[4:12])
}

func wantType(useSeed bool) kmstypes.EncryptedDEKSourceType {
	if useSeed {
		return kmstypes.EncryptedDEKSourceType_HKDF_SHA256_XNONCE_AES_GCM_SEED
	}
	return kmstypes.EncryptedDEKSourceType_AES_GCM_KEY
}

func TestKMSv2Provider(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, useSeed bool) {
		k := kekd.Started(t)
		s := newServer(t, k.Endpoint(), serverOptions{gcm: !useSeed})
		stored := s.mustWrite(text)
		object := s.object(stored)
		if object.EncryptedDEKSourceType != wantType(useSeed) || object.KeyID != k.KeyID() {
			t.Errorf("type %d, key_id %s", object.EncryptedDEKSourceType, object.KeyID)
		}
		sent := s.service.plaintext()
		opened, err := s.service.Decrypt(testContext(t), uid, &service.DecryptRequest{Ciphertext: object.EncryptedDEKSource, KeyID: object.KeyID})
		if err != nil || len(sent) != 32 || !bytes.Equal(sent, opened) {
			t.Errorf("kekd was given %d bytes and gives back others: %v", len(sent), err)
		}
		plain, err := open(t, object, opened, atKey)
		if err != nil || string(plain) != text {
			t.Errorf("want %q, got %q, %v", text, plain, err)
		}
		_, err = open(t, object, opened, value.DefaultContext("/registry/secrets/default/another"))
		mustFail(t, err, "message authentication failed")
		s.mustRead(stored, text)
		for metric, want := range map[string][]string{
			"apiserver_envelope_encryption_dek_source_cache_size": {fmt.Sprintf(`{provider_name="%s"} 1`, s.provider)},
			"apiserver_envelope_encryption_key_id_hash_total": {
				fmt.Sprintf(`{apiserver_id_hash="%s",key_id_hash="%s",provider_name="%s",transformation_type="from_storage"} 1`, hash(apiServerID), hash(k.KeyID()), s.provider),
				fmt.Sprintf(`{apiserver_id_hash="%s",key_id_hash="%s",provider_name="%s",transformation_type="to_storage"} 1`, hash(apiServerID), hash(k.KeyID()), s.provider)},
		} {
			for i := range want {
				want[i] = metric + want[i]
			}
			if got := metrics(t, metric, s.provider); !slices.Equal(got, want) {
				t.Errorf("want %q, got %q", want, got)
			}
		}
	})
}

// TestKMSv2ProviderKeyIDStaleness has upstream's nine steps. A no-op update writes if the value read was stale, so that is
// what stands for the change of a resource version.
func TestKMSv2ProviderKeyIDStaleness(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, useSeed bool) {
		k := kekd.Started(t)
		s := newServer(t, k.Endpoint(), serverOptions{timeout: 2 * time.Second, askAgainSoon: true, gcm: !useSeed})
		stale := func(step string, stored []byte, want bool) {
			t.Helper()
			if got := s.mustRead(stored, text); got != want {
				t.Errorf("%s: want stale %v, got %v", step, want, got)
			}
		}
		first := s.mustWrite(text)
		stale("1. key_id unchanged", first, false)
		if got := s.object(first); got.KeyID != k.KeyID() || (!useSeed && counterOf(got) != firstCounter) {
			t.Errorf("key_id %s, counter %d", got.KeyID, counterOf(got))
		}
		newKeyID := k.Rotate()
		s.checkAnew()
		stale("2. key_id changed", first, true)
		second := s.mustWrite(text)
		stale("3. rewritten", second, false)

		k.Kill()
		mustFail(t, s.checkAnew(), "rpc error: code = ")
		third := s.mustWrite(text) // 4. kekd is down, and the lease valid
		stale("5. kekd down within the lease", third, false)
		s.advance(5 * time.Minute)
		_, err := s.write(text)
		mustFail(t, err, `encryptedDEKSource with keyID hash "`+hash(newKeyID)+`" expired at 2`) // 6.
		stale("7. kekd down after the lease", third, false)
		if got := s.object(third); got.KeyID != newKeyID || bytes.Equal(got.EncryptedDEKSource, s.object(first).EncryptedDEKSource) ||
			(!useSeed && counterOf(got) != firstCounter+1) {
			t.Errorf("key_id %s, counter %d", got.KeyID, counterOf(got))
		}

		k.Start()
		deadline := time.Now().Add(20 * time.Second)
		for s.checkAnew(); time.Now().Before(deadline); s.checkAnew() {
			if _, err = s.write(text); err == nil {
				break
			}
		}
		must(t, err)
		stale("8. kekd is back", third, false)
		s.useKDF(!useSeed)
		s.checkAnew()
		stale("9. another type of DEK source", third, true)
	})
}

func TestKMSv2ProviderDEKSourceReuse(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, useSeed bool) {
		k := kekd.Started(t)
		s := newServer(t, k.Endpoint(), serverOptions{gcm: !useSeed})
		sources := map[string]bool{}
		for i := range 1000 {
			object := s.object(s.mustWrite(text))
			sources[string(object.EncryptedDEKSource)] = true
			if object.EncryptedDEKSourceType != wantType(useSeed) || (!useSeed && counterOf(object) != uint64(firstCounter+i)) {
				t.Fatalf("value %d: type %d, counter %d", i, object.EncryptedDEKSourceType, counterOf(object))
			}
		}
		if len(sources) != 1 || k.Status().Encrypts != 1 {
			t.Errorf("want one DEK source and one Encrypt, got %d and %d", len(sources), k.Status().Encrypts)
		}
	})
}

func TestKMSv2Healthz(t *testing.T) {
	t.Parallel()
	kekds := []*kekd.Kekd{kekd.Started(t), kekd.Started(t)}
	var providers string
	for i, k := range kekds {
		name := fmt.Sprintf("healthz-provider-%d", i+1)
		providers += provider(name, k.Endpoint(), time.Second)
		setHooks(name, func(w *watched) {
			// As a plugin that is asked again at once: what is good is kept no longer than what is bad.
			w.spoilStatus = func(response *service.StatusResponse) { response.Healthz = "good enough" }
		})
	}
	config := load(t, providers, "secrets")
	const good = "is not healthy, error: got unexpected healthz status: good enough"
	const down = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
	for _, stage := range []struct {
		name  string
		hangs []int
	}{{"both up", nil}, {"first down", []int{0}}, {"second down", []int{1}}, {"up again", nil}, {"both down", []int{0, 1}}} {
		for _, i := range stage.hangs {
			kekds[i].Pause()
		}
		time.Sleep(negativeTTL + 50*time.Millisecond)
		err := checkHealth(config)
		for i := range kekds {
			// Only the check that asked has the words in brackets; the next one finds the answer kept.
			want := fmt.Sprintf("kms-provider-%d: kmsv2 Provider healthz-provider-%d %s", i, i+1, good)
			if slices.Contains(stage.hangs, i) {
				want = fmt.Sprintf("kms-provider-%d: (failed to perform status section of the healthz check for KMS Provider healthz-provider-%d, error: )?%s", i, i+1, down)
			}
			if !regexp.MustCompile(want).MatchString(err.Error()) {
				t.Errorf("%s: want %q in: %v", stage.name, want, err)
			}
		}
		if hung := strings.Count(err.Error(), down); hung != len(stage.hangs) {
			t.Errorf("%s: want %d that hang, got: %v", stage.name, len(stage.hangs), err)
		}
		for _, i := range stage.hangs {
			kekds[i].Resume()
		}
	}
}

func TestKMSv2SingleService(t *testing.T) {
	t.Parallel()
	k := kekd.Started(t)
	name := providerOf(t)
	resources := []string{"pods", "configmaps", "customresourcedefinitions.apiextensions.k8s.io", "pandas.awesome.bears.com", "apiservices.apiregistration.k8s.io"}
	config := load(t, provider(name, k.Endpoint(), 3*time.Second), resources...)
	for _, resource := range resources {
		_, err := config.Transformers[schema.ParseGroupResource(resource)].TransformToStorage(testContext(t), []byte(text), atKey)
		must(t, err)
	}
	if got := len(servicesOf(name)); got != 1 {
		t.Errorf("want one service, got %d", got)
	}
	if got := k.Status(); got.Connections != 1 || got.Encrypts != 1 {
		t.Errorf("want one connection and one Encrypt, got %+v", got)
	}
}

// TestKMSv2ProviderLegacyData: values as v1.27.0 and v1.28.0 wrote them, made here by hand from the format, with a key of
// kekd's ring; an API server of today reads both, whichever of the two it would write.
func TestKMSv2ProviderLegacyData(t *testing.T) {
	t.Parallel()
	bothKinds(t, func(t *testing.T, useSeed bool) {
		k := kekd.Started(t)
		client := connect(t, k.Endpoint(), t.Name(), 3*time.Second)
		s := newServer(t, k.Endpoint(), serverOptions{gcm: !useSeed})
		for _, legacySeed := range []bool{false, true} {
			value := legacyValue(t, client, s.provider, legacySeed)
			if got, want := s.mustRead(value, text), legacySeed != useSeed; got != want {
				t.Errorf("seed %v read where seed %v is written: want stale %v, got %v", legacySeed, useSeed, want, got)
			}
		}
		// Also after the key that they are under is no longer the primary, by an API server that has not seen them.
		old := legacyValue(t, client, s.provider, false)
		k.Rotate()
		k.Stop()
		k.Start()
		s.config = load(t, provider(s.provider, k.Endpoint(), 3*time.Second), "secrets")
		if !s.mustRead(old, text) {
			t.Error("a value under the former key must be stale")
		}
	})
}
