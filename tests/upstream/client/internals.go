// Package client holds kekd against kube-apiserver's own KMS v2 client code, in tests of the names that the Kubernetes project's
// own tests of that code have (docs/upstream-cases.md).
package client

import (
	"time"
	_ "unsafe" // for go:linkname

	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
	"k8s.io/kms/pkg/service"
	"k8s.io/utils/clock"
)

// What upstream's tests reach from inside the package. The version is pinned, so are these.

//go:linkname newEnvelopeTransformerWithClock k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2.newEnvelopeTransformerWithClock
func newEnvelopeTransformerWithClock(service service.Service, providerName string, stateFunc kmsv2.StateFunc, apiServerID string,
	cacheTTL time.Duration, clock clock.Clock) value.Transformer

//go:linkname generateCacheKey k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2.generateCacheKey
func generateCacheKey(sourceType kmstypes.EncryptedDEKSourceType, source []byte, keyID string, annotations map[string][]byte) ([]byte, error)

//go:linkname validateAnnotations k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2.validateAnnotations
func validateAnnotations(annotations map[string][]byte) error

//go:linkname validateEncryptedDEKSource k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2.validateEncryptedDEKSource
func validateEncryptedDEKSource(source []byte) error
