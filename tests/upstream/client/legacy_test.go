package client

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/kms/pkg/service"
)

// legacyValue encrypts the text as the first API servers with KMS v2 did, byte by byte: type 0 is v1.27.0's, with a key and a
// nonce that counts; type 1 is v1.28.0's, with a seed.
func legacyValue(t testing.TB, s service.Service, provider string, seed bool) []byte {
	t.Helper()
	source, info := sequence(0x00, 32), sequence(0x20, 32)
	nonce := binary.LittleEndian.AppendUint64(sequence(0x40, 4), 1_000_000_001)
	key := source
	if seed {
		derive := hmac.New(sha256.New, source) // HKDF-Expand of one block
		derive.Write(append(slices.Clone(info), 1))
		key = derive.Sum(nil)
	}
	block, err := aes.NewCipher(key)
	must(t, err)
	gcm, err := cipher.NewGCM(block)
	must(t, err)
	data := slices.Concat(nonce, gcm.Seal(nil, nonce, []byte(text), atKey.AuthenticatedData()))
	if seed {
		data = slices.Concat(info, data)
	}
	wrapped, err := s.Encrypt(testContext(t), uid, source)
	must(t, err)

	value := []byte("k8s:enc:kms:v2:" + provider + ":")
	for number, field := range [][]byte{data, []byte(wrapped.KeyID), wrapped.Ciphertext} {
		value = protowire.AppendTag(value, protowire.Number(number+1), protowire.BytesType)
		value = protowire.AppendBytes(value, field)
	}
	if seed {
		value = protowire.AppendTag(value, 5, protowire.VarintType)
		value = protowire.AppendVarint(value, 1)
	}
	return value
}

// sequence counts up, so that a value can be told from another by eye.
func sequence(from byte, count int) []byte {
	bytes := make([]byte, count)
	for i := range bytes {
		bytes[i] = from + byte(i)
	}
	return bytes
}
