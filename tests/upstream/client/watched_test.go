package client

import (
	"context"
	"slices"
	"sync"

	"k8s.io/kms/pkg/service"
)

// watched is the API server's gRPC client of one provider. It counts the calls and remembers what was sent; hooks let a test
// do something to kekd between two calls, or spoil an answer on its way where no kekd would give such an answer.
type watched struct {
	real service.Service

	mutex                        sync.Mutex
	statuses, encrypts, decrypts int
	lastPlaintext                []byte // of an Encrypt
	beforeEncrypt                func()
	spoilStatus                  func(*service.StatusResponse)
	spoilEncrypt                 func(*service.EncryptResponse)
}

var (
	watchedMutex sync.Mutex
	allWatched   = map[string][]*watched{}
	hooksFor     = map[string]func(*watched){}
)

func watch(name string, real service.Service) *watched {
	w := &watched{real: real}
	watchedMutex.Lock()
	defer watchedMutex.Unlock()
	if hooks := hooksFor[name]; hooks != nil {
		hooks(w)
	}
	allWatched[name] = append(allWatched[name], w)
	return w
}

// servicesOf are those made for a provider's name.
func servicesOf(name string) []*watched {
	watchedMutex.Lock()
	defer watchedMutex.Unlock()
	return slices.Clone(allWatched[name])
}

// setHooks has a function set up the service that is made for a provider's name from now on.
func setHooks(name string, hooks func(*watched)) {
	watchedMutex.Lock()
	defer watchedMutex.Unlock()
	hooksFor[name] = hooks
}

func (w *watched) Status(ctx context.Context) (*service.StatusResponse, error) {
	response, err := w.real.Status(ctx)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.statuses++
	if err == nil && w.spoilStatus != nil {
		w.spoilStatus(response)
	}
	return response, err
}

func (w *watched) Encrypt(ctx context.Context, uid string, plaintext []byte) (*service.EncryptResponse, error) {
	w.mutex.Lock()
	w.encrypts++
	w.lastPlaintext = slices.Clone(plaintext)
	before := w.beforeEncrypt
	w.mutex.Unlock()
	if before != nil {
		before()
	}
	response, err := w.real.Encrypt(ctx, uid, plaintext)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if err == nil && w.spoilEncrypt != nil {
		w.spoilEncrypt(response)
	}
	return response, err
}

func (w *watched) Decrypt(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
	w.mutex.Lock()
	w.decrypts++
	w.mutex.Unlock()
	return w.real.Decrypt(ctx, uid, request)
}

// set changes hooks while calls may be going on.
func (w *watched) set(change func(*watched)) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	change(w)
}

type counts struct{ statuses, encrypts, decrypts int }

func (w *watched) counts() counts {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return counts{w.statuses, w.encrypts, w.decrypts}
}

func (w *watched) plaintext() []byte {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return slices.Clone(w.lastPlaintext)
}
