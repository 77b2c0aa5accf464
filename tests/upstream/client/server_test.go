package client

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
	"k8s.io/kms/pkg/service"
)

// How long a check that failed is kept, and one that did not.
const (
	negativeTTL = 3 * time.Second
	positiveTTL = 20 * time.Second
)

// server is as much of an API server as an EncryptionConfiguration makes: a transformer, its probe of the plugin in the
// background, and the health check.
type server struct {
	t        testing.TB
	provider string
	config   *encryptionconfig.EncryptionConfiguration
	service  *watched
	offset   atomic.Int64 // of the clock that the write lease goes by
	resetKDF func()
}

// serverOptions are those of one provider entry.
type serverOptions struct {
	timeout time.Duration // 3 s, as is the default
	hooks   func(*watched)
	// askAgainSoon spoils healthz, which stops nothing but has the API server keep an answer for 3 seconds and not for 20.
	askAgainSoon bool
	gcm          bool // what Kubernetes 1.27 wrote: a key and not a seed
}

// providerOf makes a name that a provider may have; each test's differs, because the client code keeps clocks and metrics by it.
func providerOf(t testing.TB) string {
	return strings.NewReplacer("/", ".", ":", "").Replace(t.Name())
}

func newServer(t testing.TB, endpoint string, options serverOptions) *server {
	t.Helper()
	s := &server{t: t, provider: providerOf(t)}
	now := time.Now
	t.Cleanup(kmsv2.SetNowFuncForTests(s.provider, func() time.Time { return now().Add(time.Duration(s.offset.Load())) }))
	if options.gcm {
		s.useKDF(false)
	}
	setHooks(s.provider, func(w *watched) {
		if options.askAgainSoon {
			w.spoilStatus = func(response *service.StatusResponse) { response.Healthz = "ask again soon" }
		}
		if options.hooks != nil {
			options.hooks(w)
		}
	})
	timeout := options.timeout
	if timeout == 0 {
		timeout = 3 * time.Second
	}
	s.config = load(t, provider(s.provider, endpoint, timeout), "secrets")
	services := servicesOf(s.provider)
	s.service = services[len(services)-1]
	return s
}

// useKDF has the API server make a seed, as it does by default, or a key.
func (s *server) useKDF(kdf bool) {
	s.useDefaultKDF()
	s.resetKDF = encryptionconfig.SetKDFForTests(s.provider, kdf)
}

func (s *server) useDefaultKDF() {
	if s.resetKDF != nil {
		s.resetKDF()
		s.resetKDF = nil
	}
}

func provider(name, endpoint string, timeout time.Duration) string {
	return fmt.Sprintf("    - kms: {apiVersion: v2, name: %q, endpoint: %q, timeout: %v}\n", name, endpoint, timeout)
}

// loadText loads an EncryptionConfiguration as an API server does.
func loadText(t testing.TB, text string) (*encryptionconfig.EncryptionConfiguration, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "encryption.yaml")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return encryptionconfig.LoadEncryptionConfig(testContext(t), path, false, apiServerID)
}

func configuration(entries ...string) string {
	return "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n" + strings.Join(entries, "")
}

func entry(providers string, resources ...string) string {
	quoted := make([]string, len(resources))
	for i, resource := range resources {
		quoted[i] = fmt.Sprintf("%q", resource)
	}
	return "  - resources: [" + strings.Join(quoted, ", ") + "]\n    providers:\n" + providers
}

func load(t testing.TB, providers string, resources ...string) *encryptionconfig.EncryptionConfiguration {
	t.Helper()
	config, err := loadText(t, configuration(entry(providers, resources...)))
	must(t, err)
	return config
}

func loadEndpoint(t testing.TB, name, endpoint string) (*encryptionconfig.EncryptionConfiguration, error) {
	t.Helper()
	return loadText(t, configuration(entry(provider(name, endpoint, 3*time.Second), "secrets")))
}

func (s *server) transformer() value.Transformer {
	return s.config.Transformers[schema.GroupResource{Resource: "secrets"}]
}

// check is what /readyz/kms-providers does.
func (s *server) check() error { return checkHealth(s.config) }

func checkHealth(config *encryptionconfig.EncryptionConfiguration) error {
	return config.HealthChecks[0].Check(httptest.NewRequest("GET", "/readyz/kms-providers", nil))
}

// checkAnew waits until the last answer is not kept any more. For servers that ask again soon.
func (s *server) checkAnew() error {
	time.Sleep(negativeTTL + 50*time.Millisecond)
	return s.check()
}

func (s *server) write(text string) ([]byte, error) {
	return s.transformer().TransformToStorage(context.Background(), []byte(text), atKey)
}

func (s *server) mustWrite(text string) []byte {
	s.t.Helper()
	stored, err := s.write(text)
	must(s.t, err)
	return stored
}

// mustRead returns whether the value is stale.
func (s *server) mustRead(stored []byte, want string) bool {
	s.t.Helper()
	got, stale, err := s.transformer().TransformFromStorage(context.Background(), stored, atKey)
	must(s.t, err)
	if string(got) != want {
		s.t.Fatalf("want %q, got %q", want, got)
	}
	return stale
}

// advance moves the clock of the write lease.
func (s *server) advance(by time.Duration) { s.offset.Add(int64(by)) }

// object reads a stored value as far as it is not encrypted.
func (s *server) object(stored []byte) *kmstypes.EncryptedObject {
	s.t.Helper()
	rest, found := strings.CutPrefix(string(stored), "k8s:enc:kms:v2:"+s.provider+":")
	if !found {
		s.t.Fatalf("another prefix: %.60q", stored)
	}
	object := &kmstypes.EncryptedObject{}
	must(s.t, proto.Unmarshal([]byte(rest), object))
	must(s.t, kmsv2.ValidateEncryptedObject(object))
	return object
}

// hash is how metrics and errors of the API server name a key_id.
func hash(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }
