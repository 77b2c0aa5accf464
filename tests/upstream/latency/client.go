package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/kms/pkg/service"
)

const (
	plaintextBytes  = 32 // a DEK seed, all that an API server ever encrypts
	ciphertextBytes = 78 // header 6, nonce 24, the seed, tag 16
	uid             = "6f6b1c5e-8d1f-4c39-9d52-0c7a3ce5b1aa"
	timeout         = 3 * time.Second // EncryptionConfiguration's default
)

// client is kube-apiserver's own KMS v2 client with the three calls, each checked. Safe for concurrent use.
type client struct {
	service   service.Service
	plaintext []byte
	encrypted *service.DecryptRequest
}

func connect(ctx context.Context, name, socket string) (*client, error) {
	s, err := kmsv2.NewGRPCService(ctx, "unix://"+socket, name, timeout)
	if err != nil {
		return nil, err
	}
	c := &client{service: s, plaintext: bytes.Repeat([]byte{'p'}, plaintextBytes)}
	response, err := s.Encrypt(ctx, uid, c.plaintext)
	if err != nil {
		return nil, err
	}
	c.encrypted = &service.DecryptRequest{Ciphertext: response.Ciphertext, KeyID: response.KeyID, Annotations: response.Annotations}
	return c, nil
}

func (c *client) encrypt(ctx context.Context) error {
	response, err := c.service.Encrypt(ctx, uid, c.plaintext)
	if err != nil {
		return err
	}
	if len(response.Ciphertext) != ciphertextBytes || response.KeyID == "" {
		return fmt.Errorf("the ciphertext has %d bytes, not %d, and its key_id is %q", len(response.Ciphertext), ciphertextBytes, response.KeyID)
	}
	return nil
}

func (c *client) decrypt(ctx context.Context) error {
	plaintext, err := c.service.Decrypt(ctx, uid, c.encrypted)
	if err != nil {
		return err
	}
	if !bytes.Equal(plaintext, c.plaintext) {
		return fmt.Errorf("Decrypt answers other bytes than were encrypted")
	}
	return nil
}

func (c *client) status(ctx context.Context) error {
	response, err := c.service.Status(ctx)
	if err != nil {
		return err
	}
	if response.Version != "v2" || response.Healthz != "ok" {
		return fmt.Errorf("version %q, healthz %q", response.Version, response.Healthz)
	}
	return nil
}
