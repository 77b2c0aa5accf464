// Command value makes and opens what an API server keeps in etcd, with the API server's own code and a kekd for its DEK source:
// for tests that put a value where no API server of today would, or read one past it.
//
//	value seal --socket S --provider P --key ETCD_KEY --type 0|1  <plaintext  >value    as 1.27 wrote (0) or 1.28 and later (1)
//	value open --socket S --provider P --key ETCD_KEY             <value      >plaintext
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
)

func run() error {
	if len(os.Args) < 2 {
		return fmt.Errorf("usage: value seal|open --socket S --provider P --key ETCD_KEY [--type 0|1]")
	}
	flags := flag.NewFlagSet("value", flag.ExitOnError)
	socket := flags.String("socket", "", "kekd's socket")
	provider := flags.String("provider", "", "the provider's name")
	key := flags.String("key", "", "the key in etcd, which the value is bound to")
	sourceType := flags.Int("type", 1, "the type of the DEK source: 0 a key, 1 a seed")
	flags.Parse(os.Args[2:])

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	service, err := kmsv2.NewGRPCService(ctx, "unix://"+*socket, *provider, 3*time.Second)
	if err != nil {
		return err
	}
	stateFunc := func() (kmsv2.State, error) { return kmsv2.State{}, nil } // to open a value takes none
	if os.Args[1] == "seal" {
		transformer, object, cacheKey, err := kmsv2.GenerateTransformer(ctx, "6f6b1c5e-8d1f-4c39-9d52-0c7a3ce5b1aa", service, *sourceType == 1)
		if err != nil {
			return err
		}
		stateFunc = func() (kmsv2.State, error) {
			return kmsv2.State{
				Transformer: transformer, EncryptedObjectKeyID: object.KeyID, EncryptedObjectEncryptedDEKSource: object.EncryptedDEKSource,
				EncryptedObjectAnnotations: object.Annotations, EncryptedObjectEncryptedDEKSourceType: object.EncryptedDEKSourceType,
				ExpirationTimestamp: time.Now().Add(time.Minute), CacheKey: cacheKey,
			}, nil
		}
	}
	whole := value.NewPrefixTransformers(nil, value.PrefixTransformer{
		Prefix:      []byte("k8s:enc:kms:v2:" + *provider + ":"),
		Transformer: kmsv2.NewEnvelopeTransformer(service, *provider, stateFunc, "value"),
	})
	var out []byte
	switch os.Args[1] {
	case "seal":
		out, err = whole.TransformToStorage(ctx, in, value.DefaultContext(*key))
	case "open":
		out, _, err = whole.TransformFromStorage(ctx, in, value.DefaultContext(*key))
	default:
		err = fmt.Errorf("neither seal nor open: %q", os.Args[1])
	}
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(out)
	return err
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "value: %v\n", err)
		os.Exit(1)
	}
}
