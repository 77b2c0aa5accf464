package client

import (
	"bytes"
	"context"
	"flag"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	"k8s.io/kms/pkg/service"
)

const apiServerID = "an-api-server"

// The etcd key is what the API server binds a value to; a value moved to another key must not open.
var atKey = value.DefaultContext("/registry/secrets/default/upstream")

// log is what the client code logs, of all tests together.
var log lockedBuffer

type lockedBuffer struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	klog.Flush()
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.String()
}

// lines are those that contain all the parts.
func (b *lockedBuffer) lines(parts ...string) []string {
	var found []string
next:
	for line := range strings.Lines(b.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

func TestMain(m *testing.M) {
	klog.InitFlags(nil)
	flag.Set("v", "6")
	flag.Set("stderrthreshold", "FATAL")
	flag.Parse()
	klog.LogToStderr(false)
	klog.SetOutput(&log)
	connect := encryptionconfig.EnvelopeKMSv2ServiceFactory
	encryptionconfig.EnvelopeKMSv2ServiceFactory = func(ctx context.Context, endpoint, name string, timeout time.Duration) (service.Service, error) {
		real, err := connect(ctx, endpoint, name, timeout)
		if err != nil {
			return nil, err
		}
		return watch(name, real), nil
	}
	os.Exit(m.Run())
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return ctx
}

// connect makes the API server's gRPC client.
func connect(t testing.TB, endpoint, name string, timeout time.Duration) service.Service {
	t.Helper()
	s, err := kmsv2.NewGRPCService(testContext(t), endpoint, name, timeout)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// metrics are the lines of a metric of a provider, as an API server's /metrics has them.
func metrics(t testing.TB, name, provider string) []string {
	t.Helper()
	recorder := httptest.NewRecorder()
	legacyregistry.Handler().ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	var lines []string
	for line := range strings.Lines(recorder.Body.String()) {
		if strings.HasPrefix(line, name+"{") && strings.Contains(line, `provider_name="`+provider+`"`) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func mustFail(t testing.TB, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("want an error with %q, got: %v", text, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
