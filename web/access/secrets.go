package access

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Bounds. A lower cost is guessed too fast, a higher one keeps a small board busy for seconds.
const (
	leastCost  = 10
	mostCost   = 14
	hashCost   = 11
	leastToken = 24 // characters
	maxFile    = 4 << 10
)

// Secrets are what gives a role: each may be missing.
type Secrets struct {
	password []byte             // bcrypt's hash
	token    *[sha256.Size]byte // its hash: what is compared must not tell by the time it takes
}

func (s Secrets) any() bool { return s.password != nil || s.token != nil }

// opens takes the time of a whole check only where there is a password.
func (s Secrets) opens(password string) bool {
	return s.password != nil && bcrypt.CompareHashAndPassword(s.password, []byte(password)) == nil
}

// ReadSecrets reads the files of one role. An empty name is no secret. Their errors name the file.
func ReadSecrets(passwordFile, tokenFile string) (Secrets, error) {
	var s Secrets
	if passwordFile != "" {
		text, err := readLine(passwordFile)
		if err != nil {
			return s, err
		}
		cost, err := bcrypt.Cost([]byte(text))
		if err != nil {
			return s, fmt.Errorf("%s holds no bcrypt hash: make one with 'vedette web password'", passwordFile)
		}
		if cost < leastCost || cost > mostCost {
			return s, fmt.Errorf("%s holds a bcrypt hash of cost %d: %d to %d are taken", passwordFile, cost, leastCost, mostCost)
		}
		s.password = []byte(text)
	}
	if tokenFile != "" {
		text, err := readLine(tokenFile)
		if err != nil {
			return s, err
		}
		if len(text) < leastToken {
			return s, fmt.Errorf("%s holds a token of %d characters: %d are needed, such as those of 'openssl rand -hex 32'",
				tokenFile, len(text), leastToken)
		}
		sum := sha256.Sum256([]byte(text))
		s.token = &sum
	}
	return s, nil
}

// readLine reads a file of one line.
func readLine(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxFile {
		return "", fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	line := strings.TrimRight(string(text), "\r\n")
	if strings.ContainsAny(line, "\r\n") {
		return "", fmt.Errorf("%s has several lines: one is taken", path)
	}
	return line, nil
}

// HashPassword gives what belongs into a password file.
func HashPassword(password string) (string, error) {
	const least = 8
	if len(password) < least {
		return "", fmt.Errorf("the password has %d characters: %d are needed", len(password), least)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), hashCost)
	if errors.Is(err, bcrypt.ErrPasswordTooLong) {
		return "", errors.New("the password has more than 72 bytes, beyond which bcrypt does not look")
	}
	return string(hash), err
}
