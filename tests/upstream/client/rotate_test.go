package client

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"k8s.io/kms/pkg/service"

	"kekd.dev/tests/upstream/kekd"
)

const lease = 3 * time.Minute

// rotation is one case: what happens between the check that made the first state and the next one.
type rotation struct {
	name         string
	gcm          bool                      // the first state's
	between      func(*server, *kekd.Kekd) // nothing, if nil
	wantEncrypts int
	wantNewKey   bool
	wantErr      []string
	wantOldLease bool // the lease is still the first one
}

func annotationsThatAreInvalid(s *server, k *kekd.Kekd) {
	k.Rotate()
	s.service.set(func(w *watched) {
		w.spoilEncrypt = func(response *service.EncryptResponse) { response.Annotations = map[string][]byte{"panda": nil} }
	})
}

func Test_kmsv2PluginProbe_rotateDEKOnKeyIDChange(t *testing.T) {
	t.Parallel()
	t.Run("happy path, no previous state", func(t *testing.T) {
		t.Parallel()
		k := kekd.Started(t)
		s := newServer(t, k.Endpoint(), serverOptions{})
		if got := s.service.counts().encrypts; got != 1 {
			t.Errorf("want 1 Encrypt, got %d", got)
		}
		s.checkLease(0)
		if got := log.lines(`"successfully rotated DEK"`, "useSeed=true", `newKeyIDHash="`+hash(k.KeyID())+`"`, `oldKeyIDHash=""`); len(got) != 1 {
			t.Errorf("want one line of the log, got %q", got)
		}
	})
	t.Run("invalid service response, no previous state", func(t *testing.T) {
		t.Parallel()
		s := newServer(t, kekd.Started(t).Endpoint(), serverOptions{hooks: func(w *watched) {
			w.spoilEncrypt = func(response *service.EncryptResponse) { response.Annotations = map[string][]byte{"panda": nil} }
		}})
		err := s.check()
		mustFail(t, err, "errState=got unexpected nil transformer")
		mustFail(t, err, "errGen=failed to validate annotations")
	})
	for _, test := range []rotation{
		{name: "happy path, with previous state", gcm: true},
		{name: "happy path, with previous state, useSeed=true", gcm: true, wantEncrypts: 1, between: func(s *server, _ *kekd.Kekd) { s.useKDF(true) }},
		{name: "happy path, with previous useSeed=true state", wantEncrypts: 1, between: func(s *server, _ *kekd.Kekd) { s.useKDF(false) }},
		{name: "happy path, with previous useSeed=true state, useSeed=true", between: func(s *server, _ *kekd.Kekd) { s.useKDF(true) }},
		{name: "happy path, with previous state, useSeed=default", gcm: true, wantEncrypts: 1, between: func(s *server, _ *kekd.Kekd) { s.useDefaultKDF() }},
		{name: "happy path, with previous useSeed=true state, useSeed=default"},
		{name: "previous state expired but key ID matches", between: func(s *server, _ *kekd.Kekd) { s.advance(time.Hour) }},
		{name: "previous state expired but key ID does not match", wantEncrypts: 1, wantNewKey: true, between: func(s *server, k *kekd.Kekd) {
			s.advance(time.Hour)
			k.Rotate()
		}},
		{name: "service down but key ID does not match", wantEncrypts: 1, wantOldLease: true, between: func(s *server, k *kekd.Kekd) {
			k.Rotate()
			// Status is answered, with the new key_id; then kekd hangs.
			s.service.set(func(w *watched) { w.beforeEncrypt = k.Pause })
		}, wantErr: []string{"failed to rotate DEK", "errState=<nil>", "errGen=failed to encrypt DEK, error: rpc error: code = DeadlineExceeded", `encryptKeyIDHash=""`}},
		{name: "invalid service response, with previous state", wantEncrypts: 1, wantOldLease: true, between: annotationsThatAreInvalid,
			wantErr: []string{"failed to rotate DEK", "errState=<nil>", `errGen=failed to validate annotations: annotations: Invalid value: "panda"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t)
		})
	}
}

func (test rotation) run(t *testing.T) {
	k := kekd.Started(t)
	s := newServer(t, k.Endpoint(), serverOptions{timeout: 2 * time.Second, askAgainSoon: true, gcm: test.gcm})
	oldKeyID := k.KeyID()
	before := s.object(s.mustWrite("before"))
	madeAt := time.Now()
	if test.between != nil {
		test.between(s, k)
	}
	encrypts := s.service.counts().encrypts
	err := s.checkAnew()
	if got := s.service.counts().encrypts - encrypts; got != test.wantEncrypts {
		t.Errorf("want %d Encrypts, got %d", test.wantEncrypts, got)
	}
	for _, text := range test.wantErr {
		mustFail(t, err, text)
	}
	if rotated := strings.Contains(err.Error(), "failed to rotate DEK"); rotated != (len(test.wantErr) > 0) {
		t.Error(err)
	}
	after := s.object(s.mustWrite("after"))
	wantKeyID := oldKeyID
	if test.wantNewKey {
		wantKeyID = k.KeyID()
		if got := log.lines(`"successfully rotated DEK"`, `newKeyIDHash="`+hash(wantKeyID)+`"`, `oldKeyIDHash="`+hash(oldKeyID)+`"`); len(got) != 1 {
			t.Errorf("want one line of the log, got %q", got)
		}
	}
	if after.KeyID != wantKeyID {
		t.Errorf("want key_id %s, got %s", wantKeyID, after.KeyID)
	}
	newSource := test.wantEncrypts > 0 && len(test.wantErr) == 0
	if same := bytes.Equal(before.EncryptedDEKSource, after.EncryptedDEKSource); same == newSource {
		t.Errorf("want another DEK source: %v, got the same: %v", newSource, same)
	}
	if test.wantOldLease {
		k.Resume() // it may hang
		mustFail(t, err, `stateKeyIDHash="`+hash(oldKeyID)+`"`)
		mustFail(t, err, `statusKeyIDHash="`+hash(k.KeyID())+`"`)
		s.checkLease(time.Since(madeAt))
	} else {
		s.checkLease(0)
	}
}

// checkLease finds out when writes end, in the lease's own time: 3 minutes after the check that the lease is of, which was
// `age` ago. It moves the clock for good.
func (s *server) checkLease(age time.Duration) {
	s.t.Helper()
	const slack = 10 * time.Second // of a busy machine
	s.advance(lease - age - slack)
	s.mustWrite("just within the lease")
	s.advance(2*slack + time.Second)
	if age == 0 {
		s.advance(slack)
	}
	_, err := s.write("after the lease")
	mustFail(s.t, err, "encryptedDEKSource with keyID hash")
	mustFail(s.t, err, "expired at")
}
