package gateway

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/skein-mesh/skein"
)

const (
	maxToken = 8 << 10          // bytes
	leeway   = 30 * time.Second // how far clocks may be apart
)

// Claims are what a token says (RFC 7519, section 4.1).
type Claims struct {
	Subject  skein.Subject // 1 to skein.MaxSubject bytes
	Audience string        // Config.Service of the gateways that it is for
	Expires  time.Time     // whole seconds
}

// SignToken makes a bearer token: a JWT signed with EdDSA (RFC 8037, section 3.1).
func SignToken(key ed25519.PrivateKey, c Claims) (string, error) {
	switch {
	case len(key) != ed25519.PrivateKeySize:
		return "", fmt.Errorf("sign token: the key has %d bytes, want %d", len(key), ed25519.PrivateKeySize)
	case c.Subject == "" || len(c.Subject) > skein.MaxSubject:
		return "", fmt.Errorf("sign token: want a subject of 1 to %d bytes", skein.MaxSubject)
	case c.Audience == "" || c.Expires.IsZero():
		return "", errors.New("sign token: audience and expiry are needed")
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.RegisteredClaims{
		Subject:   string(c.Subject),
		Audience:  jwt.ClaimStrings{c.Audience},
		ExpiresAt: jwt.NewNumericDate(c.Expires),
	})
	s, err := t.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return s, nil
}

// identity is who a client has shown to be.
type identity struct {
	subject skein.Subject
	expires time.Time // zero: never
}

// check refuses an identity whose token has run out since it was verified.
func (i identity) check(now time.Time) error {
	if !i.expires.IsZero() && now.After(i.expires.Add(leeway)) {
		return skein.Fault(skein.CodeTokenExpired, "the token expired at %s", i.expires.UTC().Format(time.RFC3339))
	}
	return nil
}

// seenTokens is how many tokens are remembered by their hash: a client shows the same one with each stream, and while
// nodes die or are full it opens many.
const seenTokens = 8192

type verifier struct {
	keys   jwt.VerificationKeySet
	parser *jwt.Parser
	seen   *lru.Cache[[sha256.Size]byte, identity] // of tokens that verified
}

func newVerifier(keys []ed25519.PublicKey, audience string) verifier {
	v := verifier{parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithLeeway(leeway), jwt.WithStrictDecoding(),
	)}
	v.seen, _ = lru.New[[sha256.Size]byte, identity](seenTokens) // fails only for a size below 1
	for _, k := range keys {
		v.keys.Keys = append(v.keys.Keys, k)
	}
	return v
}

// verify tells who a token speaks for. Its errors never repeat the token.
func (v verifier) verify(token string) (identity, error) {
	if token == "" {
		return identity{}, skein.Fault(skein.CodeUnauthenticated, "a bearer token is needed")
	}
	if len(token) > maxToken {
		return identity{}, skein.Fault(skein.CodeUnauthenticated, "a token has at most %d bytes", maxToken)
	}
	sum := sha256.Sum256([]byte(token))
	if known, ok := v.seen.Get(sum); ok {
		if err := known.check(time.Now()); err != nil {
			return identity{}, err
		}
		return known, nil
	}
	who, err := v.parse(token)
	if err == nil {
		v.seen.Add(sum, who)
	}
	return who, err
}

func (v verifier) parse(token string) (identity, error) {
	var c jwt.RegisteredClaims
	_, err := v.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return v.keys, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return identity{}, skein.Fault(skein.CodeUnauthenticated, "the token is for another audience")
	case errors.Is(err, jwt.ErrTokenExpired):
		return identity{}, skein.Fault(skein.CodeTokenExpired, "the token has expired")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return identity{}, skein.Fault(skein.CodeUnauthenticated, "the token is not valid yet")
	case err != nil:
		return identity{}, skein.Fault(skein.CodeUnauthenticated, "the token does not verify")
	case c.Subject == "" || len(c.Subject) > skein.MaxSubject:
		return identity{}, skein.Fault(skein.CodeUnauthenticated, "want a token with a subject of 1 to %d bytes", skein.MaxSubject)
	}
	return identity{subject: skein.Subject(c.Subject), expires: c.ExpiresAt.Time}, nil
}
