package client

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/kms/pkg/service"

	"kekd.dev/tests/upstream/kekd"
)

// After config_test.go of k8s.io/apiserver's encryptionconfig.

func TestKMSv2PluginHealthzTTL(t *testing.T) {
	t.Parallel()
	t.Run("kmsv2 provider in good state", func(t *testing.T) {
		t.Parallel()
		s := newServer(t, kekd.Started(t).Endpoint(), serverOptions{})
		for range 3 {
			must(t, s.check())
		}
		if got := s.service.counts().statuses; got != 1 {
			t.Errorf("a good answer is kept for 20 s, but kekd was asked %d times", got)
		}
		time.Sleep(positiveTTL)
		must(t, s.check())
		if got := s.service.counts().statuses; got != 2 {
			t.Errorf("after 20 s kekd is asked again, but was asked %d times", got)
		}
	})
	t.Run("kmsv2 provider in bad state", func(t *testing.T) {
		t.Parallel()
		k := kekd.Started(t)
		k.Pause()
		s := newServer(t, k.Endpoint(), serverOptions{timeout: time.Second})
		mustFail(t, s.check(), "code = DeadlineExceeded")
		k.Resume()
		mustFail(t, s.check(), "code = DeadlineExceeded")
		if got := s.service.counts().statuses; got != 1 {
			t.Errorf("a bad answer is kept for 3 s, but kekd was asked %d times", got)
		}
		must(t, s.checkAnew())
	})
}

const invalidKeyIDs = "apiserver_envelope_encryption_invalid_key_id_from_status_total"

func TestKMSv2InvalidKeyID(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		spoil func(*service.StatusResponse) // nil: kekd's own answer
		want  string
	}{
		{name: "valid keyID"},
		{"empty keyID", func(r *service.StatusResponse) { r.KeyID = "" }, "empty"},
		{"long keyID", func(r *service.StatusResponse) { r.KeyID = strings.Repeat("k", 1025) }, "too_long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, kekd.Started(t).Endpoint(), serverOptions{hooks: func(w *watched) { w.spoilStatus = test.spoil }})
			got := strings.Join(metrics(t, invalidKeyIDs, s.provider), "\n")
			want := ""
			if test.want != "" {
				want = fmt.Sprintf(`%s{error="%s",provider_name="%s"} 1`, invalidKeyIDs, test.want, s.provider)
				_, err := s.write("never")
				mustFail(t, err, "got unexpected nil transformer")
			}
			if got != want {
				t.Errorf("want %q, got %q", want, got)
			}
		})
	}
	// The longest key_id that kekd can make.
	t.Run("keyring of the longest name", func(t *testing.T) {
		t.Parallel()
		k := kekd.NewNamed(t, strings.Repeat("n", 63))
		k.Start()
		s := newServer(t, k.Endpoint(), serverOptions{})
		must(t, s.check())
		s.mustWrite("text")
	})
}

func TestIsKMSv2ProviderHealthyError(t *testing.T) {
	t.Parallel()
	t.Run("healthz status is not ok", func(t *testing.T) {
		t.Parallel()
		k := kekd.New(t)
		k.Rotate()
		k.BreakKey(1)
		k.Start()
		s := newServer(t, k.Endpoint(), serverOptions{})
		mustFail(t, s.check(), "got unexpected healthz status: degraded: key version 1")
		// Only the health endpoint is red: the primary is sound.
		s.mustRead(s.mustWrite("text"), "text")
	})
	t.Run("Status is refused", func(t *testing.T) {
		t.Parallel()
		k := kekd.New(t)
		k.BreakKey(1)
		k.Start()
		s := newServer(t, k.Endpoint(), serverOptions{})
		if s.check() == nil {
			t.Fatal("the primary does not decrypt, and the health check is fine")
		}
		_, err := s.write("never")
		mustFail(t, err, "got unexpected nil transformer")
	})
	for _, test := range []struct {
		name  string
		spoil func(*service.StatusResponse)
		want  string
	}{
		{"version is not v2", func(r *service.StatusResponse) { r.Version = "v1beta1" }, "expected KMSv2 API version v2, got v1beta1"},
		{"missing keyID", func(r *service.StatusResponse) { r.KeyID = "" }, "got invalid KMSv2 KeyID "},
		{"invalid long keyID", func(r *service.StatusResponse) { r.KeyID = strings.Repeat("k", 1025) }, "got invalid KMSv2 KeyID "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, kekd.Started(t).Endpoint(), serverOptions{hooks: func(w *watched) { w.spoilStatus = test.spoil }})
			mustFail(t, s.check(), test.want)
		})
	}
}

func TestKMSv2SameVersionFromStatus(t *testing.T) {
	t.Parallel()
	const changed = "KMSv2 API version should not change"
	t.Run("version unchanged", func(t *testing.T) {
		t.Parallel()
		k := kekd.Started(t)
		s := newServer(t, k.Endpoint(), serverOptions{askAgainSoon: true})
		k.Stop()
		k.Rotate()
		k.Start()
		err := s.checkAnew()
		mustFail(t, err, "ask again soon")
		if strings.Contains(err.Error(), changed) {
			t.Error(err)
		}
	})
	t.Run("version changed", func(t *testing.T) {
		t.Parallel()
		s := newServer(t, kekd.Started(t).Endpoint(), serverOptions{askAgainSoon: true})
		s.service.set(func(w *watched) {
			w.spoilStatus = func(response *service.StatusResponse) { response.Version = "v2beta1" }
		})
		mustFail(t, s.checkAnew(), changed)
	})
}

func TestKMSMaxTimeout(t *testing.T) {
	t.Parallel()
	endpoint := kekd.Started(t).Endpoint()
	name := providerOf(t)
	t.Run("config with bad provider", func(t *testing.T) {
		if _, err := loadText(t, configuration(entry("    - kms:\n", "secrets"))); err == nil {
			t.Error("a provider of no kind must be refused")
		}
	})
	t.Run("default timeout", func(t *testing.T) {
		text := fmt.Sprintf("    - kms: {apiVersion: v2, name: %s.default, endpoint: %q}\n", name, endpoint)
		if got := load(t, text, "secrets").KMSCloseGracePeriod; got != 2*3*time.Second {
			t.Errorf("want twice the 3 s of one provider, got %v", got)
		}
	})
	t.Run("with v2 provider", func(t *testing.T) {
		list := func(names string, timeouts ...time.Duration) (text string) {
			for i, timeout := range timeouts {
				text += provider(fmt.Sprintf("%s.%s%d", name, names, i), endpoint, timeout)
			}
			return text
		}
		config, err := loadText(t, configuration(
			entry(list("first", 15*time.Second, 5*time.Second), "secrets"),
			entry(list("second", 10*time.Second, 2*time.Second), "configmaps")))
		must(t, err)
		if got := config.KMSCloseGracePeriod; got != 2*32*time.Second {
			t.Errorf("want twice the sum of all timeouts, got %v", got)
		}
	})
}
