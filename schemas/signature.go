package schemas

import (
	"bytes"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// MaxSignatureTraits is how many traits a signature may join.
const MaxSignatureTraits = 3

// TraitValue is one trait at one value.
type TraitValue struct {
	Trait Trait
	Value string
}

// Signature is a conjunction of traits: a request matches where every trait is
// known and has exactly that value. A valid one has 1 to MaxSignatureTraits
// traits, each at most once, ordered by Trait.
type Signature []TraitValue

// String is the canonical text form, `accept_language="" method="GET"`: names
// and Go-quoted values (printable ASCII), joined by a space, ordered by Trait.
func (s Signature) String() string {
	var b strings.Builder
	for i, t := range s {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t.Trait.String())
		b.WriteByte('=')
		b.WriteString(strconv.QuoteToASCII(t.Value))
	}
	return b.String()
}

// ParseSignature reads what String writes; traits may be in any order.
func ParseSignature(text string) (Signature, error) {
	var s Signature
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, fmt.Errorf("signature %q: want trait=\"value\" at %q", text, rest)
		}
		trait, ok := ParseTrait(name)
		if !ok {
			return nil, fmt.Errorf("signature %q: no trait %q; one of %s", text, name, strings.Join(traitNames[:NumTraits], ", "))
		}
		quoted, err := strconv.QuotedPrefix(after)
		if err != nil || quoted[0] != '"' {
			return nil, fmt.Errorf("signature %q: the value of %s must stand in double quotes", text, name)
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("signature %q: the value of %s: %w", text, name, err)
		}
		s = append(s, TraitValue{Trait: trait, Value: value})
		rest = after[len(quoted):]
	}
	sort.Slice(s, func(i, j int) bool { return s[i].Trait < s[j].Trait })
	return s, s.Validate()
}

// Validate says what is wrong with a signature, or nil.
func (s Signature) Validate() error {
	if len(s) == 0 || len(s) > MaxSignatureTraits {
		return fmt.Errorf("signature: has %d traits, want 1 to %d", len(s), MaxSignatureTraits)
	}
	for i, t := range s {
		if int(t.Trait) >= NumTraits {
			return fmt.Errorf("signature: trait %d does not exist", t.Trait)
		}
		if i > 0 && s[i-1].Trait >= t.Trait {
			return fmt.Errorf("signature: trait %s stands twice or out of order", t.Trait)
		}
		if len(t.Value) > MaxText {
			return fmt.Errorf("signature: the value of %s has %d bytes, at most %d", t.Trait, len(t.Value), MaxText)
		}
	}
	return nil
}

// Match reports whether the request has every trait of the signature. scratch is
// memory to work in, returned for the next call.
func (s Signature) Match(r *Request, scratch []byte) (match bool, _ []byte) {
	for i := range s {
		value, known := s[i].Trait.Value(scratch[:0], r)
		scratch = value
		if !known || !bytes.Equal(value, []byte(s[i].Value)) {
			return false, scratch
		}
	}
	return len(s) > 0, scratch
}
