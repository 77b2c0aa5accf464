package client

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/kms/pkg/service"

	"kekd.dev/tests/upstream/kekd"
)

// After grpc_service_unix_test.go of k8s.io/apiserver.

const uid = "b4d8e53c-2a75-4f0b-9d0b-5f0f3c2b6f11"

var testData = []byte("test data")

// encryptAndDecrypt is one round through kekd.
func encryptAndDecrypt(t testing.TB, s service.Service) {
	t.Helper()
	ctx := testContext(t)
	response, err := s.Encrypt(ctx, uid, testData)
	if err != nil {
		t.Error(err)
		return
	}
	plaintext, err := s.Decrypt(ctx, uid, &service.DecryptRequest{Ciphertext: response.Ciphertext, KeyID: response.KeyID, Annotations: response.Annotations})
	if err != nil || !bytes.Equal(plaintext, testData) {
		t.Errorf("want %q, got %q, %v", testData, plaintext, err)
	}
}

func TestKMSPluginLateStart(t *testing.T) {
	t.Parallel()
	k := kekd.New(t)
	s := connect(t, k.Endpoint(), t.Name(), 10*time.Second)
	time.Sleep(1500 * time.Millisecond)
	k.Start()
	_, err := s.Encrypt(testContext(t), uid, testData)
	must(t, err)
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		timeout     time.Duration
		pluginDelay time.Duration
		clientDelay time.Duration
		fails       bool
	}{
		{name: "timeout zero before the plugin starts", pluginDelay: 3 * time.Second, fails: true},
		{name: "timeout zero with the plugin up", clientDelay: 2 * time.Second, fails: true},
		{name: "timeout greater than the plugin's delay", timeout: 20 * time.Second, pluginDelay: 3 * time.Second},
		{name: "timeout less than the plugin's delay", timeout: 3 * time.Second, pluginDelay: 6 * time.Second, fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := kekd.New(t)
			var plugin sync.WaitGroup
			plugin.Go(func() {
				time.Sleep(test.pluginDelay)
				k.Start()
			})
			time.Sleep(test.clientDelay)
			defer plugin.Wait()
			_, err := connect(t, k.Endpoint(), t.Name(), test.timeout).Encrypt(testContext(t), uid, testData)
			if test.fails {
				mustFail(t, err, "code = DeadlineExceeded")
			} else {
				must(t, err)
			}
		})
	}
	// A plugin that accepts and does not answer: upstream's mock can only be absent.
	t.Run("plugin up and slower than the timeout", func(t *testing.T) {
		t.Parallel()
		k := kekd.Started(t)
		s := connect(t, k.Endpoint(), t.Name(), time.Second)
		k.Pause()
		_, err := s.Encrypt(testContext(t), uid, testData)
		mustFail(t, err, "rpc error: code = DeadlineExceeded desc = context deadline exceeded")
		k.Resume()
		encryptAndDecrypt(t, connect(t, k.Endpoint(), t.Name(), 10*time.Second))
	})
}

func TestIntermittentConnectionLoss(t *testing.T) {
	t.Parallel()
	k := kekd.Started(t)
	s := connect(t, k.Endpoint(), t.Name(), 30*time.Second)
	encryptAndDecrypt(t, s)
	k.Kill()
	time.Sleep(2 * time.Second)
	failed := make(chan error)
	go func() {
		_, err := s.Encrypt(testContext(t), uid, testData)
		failed <- err
	}()
	time.Sleep(time.Second)
	k.Start()
	must(t, <-failed)
}

func TestGRPCService(t *testing.T) {
	t.Parallel()
	k := kekd.Started(t)
	s := connect(t, k.Endpoint(), t.Name(), 3*time.Second)
	encryptAndDecrypt(t, s)
	status, err := s.Status(testContext(t))
	must(t, err)
	if want := (service.StatusResponse{Version: "v2", Healthz: "ok", KeyID: k.KeyID()}); *status != want {
		t.Errorf("want %v, got %v", want, *status)
	}
}

func TestGRPCServiceConcurrentAccess(t *testing.T) {
	t.Parallel()
	k := kekd.Started(t)
	s := connect(t, k.Endpoint(), t.Name(), 15*time.Second)
	var calls sync.WaitGroup
	for range 100 {
		calls.Go(func() { encryptAndDecrypt(t, s) })
	}
	calls.Wait()
	if got := k.Status(); got.Encrypts != 100 || got.Decrypts != 100 || got.Failed != 0 || got.Connections != 1 {
		t.Errorf("want 100 Encrypts and 100 Decrypts on one connection, got %+v", got)
	}
}

func TestInvalidConfiguration(t *testing.T) {
	t.Parallel()
	k := kekd.Started(t)
	for name, endpoint := range map[string]string{
		"emptyConfiguration": "",
		"invalidScheme":      strings.Replace(k.Endpoint(), "unix", "tcp", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := loadEndpoint(t, "invalid", endpoint); err == nil {
				t.Errorf("%q must be refused", endpoint)
			}
		})
	}
	if got := k.Status().Connections; got != 0 {
		t.Errorf("nobody should have come, got %d connections", got)
	}
}

func TestKMSOperationsMetric(t *testing.T) {
	t.Parallel()
	k := kekd.Started(t)
	ctx := testContext(t)
	s := connect(t, k.Endpoint(), t.Name(), 3*time.Second)
	count := func(method, code string, want int) {
		t.Helper()
		const metric = "apiserver_envelope_encryption_kms_operations_latency_seconds_count"
		line := fmt.Sprintf(`%s{grpc_status_code="%s",method_name="/v2.KeyManagementService/%s",provider_name="%s"} %d`, metric, code, method, t.Name(), want)
		for _, got := range metrics(t, metric, t.Name()) {
			if got == line {
				return
			}
		}
		t.Errorf("want %s among %q", line, metrics(t, metric, t.Name()))
	}
	response, err := s.Encrypt(ctx, uid, testData)
	must(t, err)
	count("Encrypt", "OK", 1)
	_, err = s.Decrypt(ctx, uid, &service.DecryptRequest{Ciphertext: response.Ciphertext, KeyID: response.KeyID})
	must(t, err)
	count("Decrypt", "OK", 1)
	for range 11 {
		_, err = s.Status(ctx)
		must(t, err)
	}
	count("Status", "OK", 11)
	// What kekd refuses is counted under its own code.
	_, err = s.Decrypt(ctx, uid, &service.DecryptRequest{Ciphertext: response.Ciphertext, KeyID: "never-heard-of"})
	mustFail(t, err, "code = NotFound")
	count("Decrypt", "NotFound", 1)
}
