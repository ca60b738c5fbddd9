package bundle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"aead.dev/minisign"
)

// Keys are those whose bundles are taken.
type Keys []Key

// Key is a public key of minisign.
type Key struct {
	Name   string // its file's, without .pub
	public minisign.PublicKey
}

const maxKeyFile = 4 << 10 // bytes

// ReadKeys reads each *.pub in a folder, as minisign -G writes them. A folder that is not there holds none.
func ReadKeys(folder string) (Keys, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.pub"))
	if err != nil {
		return nil, fmt.Errorf("cannot list the keys: %w", err)
	}
	slices.Sort(paths)
	var keys Keys
	for _, path := range paths {
		text, err := readFile(path, maxKeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read a key: %w", err)
		}
		key := Key{Name: strings.TrimSuffix(filepath.Base(path), ".pub")}
		if err := key.public.UnmarshalText(text); err != nil {
			return nil, fmt.Errorf("cannot read the key %s: %w: it is made by minisign -G", path, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Why a bundle's origin is not trusted.
var (
	ErrUnsigned   = errors.New("it is not signed")
	ErrUnknownKey = errors.New("it is signed with a key that is not known here")
	ErrForged     = errors.New("its signature does not fit its manifest: it was changed after it was signed, or damaged")
)

// Verify gives the name of the key that signed a manifest.
func (keys Keys) Verify(manifest, signature []byte) (signer string, err error) {
	if len(signature) == 0 {
		return "", ErrUnsigned
	}
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return "", fmt.Errorf("%s is no signature of minisign's: %w", SignatureFile, err)
	}
	for _, key := range keys {
		if key.public.ID() != s.KeyID {
			continue
		}
		if minisign.Verify(key.public, manifest, signature) {
			return key.Name, nil
		}
		return "", ErrForged
	}
	return "", fmt.Errorf("%w: key id %016X", ErrUnknownKey, s.KeyID)
}

// SecretKey signs bundles.
type SecretKey struct{ private minisign.PrivateKey }

// ReadSecretKey reads a secret key as minisign -G writes it. One that minisign -G -W made needs no password.
func ReadSecretKey(path, password string) (SecretKey, error) {
	text, err := readFile(path, maxKeyFile)
	if err != nil {
		return SecretKey{}, fmt.Errorf("cannot read the secret key: %w", err)
	}
	var key SecretKey
	if minisign.IsEncrypted(text) {
		key.private, err = minisign.DecryptKey(password, text)
	} else {
		err = key.private.UnmarshalText(text)
	}
	if err != nil {
		return SecretKey{}, fmt.Errorf("cannot read the secret key %s: %w", path, err)
	}
	return key, nil
}

// Sign gives the signature of a manifest, the same each time.
func (k SecretKey) Sign(manifest []byte, comment string) []byte {
	return minisign.SignWithComments(k.private, manifest, comment, "signature of a Vedette model bundle")
}

func readFile(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(file, filepath.Base(path), most)
}
