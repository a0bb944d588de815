package nginx

import (
	"fmt"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// The sources of the traits' maps, as words of the configuration. A line feed
// parts two variables: no part of a request that nginx accepts holds one.
var traitSources = [schemas.NumTraits]string{
	schemas.TraitUserAgent:      `$http_user_agent`,
	schemas.TraitAcceptLanguage: `$http_accept_language`,
	schemas.TraitAcceptEncoding: `$http_accept_encoding`,
	schemas.TraitTLS:            `"$ssl_protocol $ssl_cipher $ssl_curves"`,
	schemas.TraitProtocol:       `$server_protocol`,
	schemas.TraitMethod:         `$request_method`,
	schemas.TraitReferer:        `"$host\n$http_referer"`,
	schemas.TraitCookie:         `$http_cookie`,
	schemas.TraitPathShape:      `$request_uri`,
	schemas.TraitQueryKeys:      `$request_uri`,
	schemas.TraitAgentFamily:    `$http_user_agent`,
	schemas.TraitPathKnown:      `$%s_path_known`,
	schemas.TraitAgentKnown:     `$%s_agent_known`,
	schemas.TraitQueryKnown:     `$%s_query_known`,
}

// sourceOf is a trait's source; prefix begins the names of weir's own variables.
func sourceOf(t schemas.Trait, prefix string) string {
	if _, listed := schemas.ListedOf(t); listed {
		return fmt.Sprintf(traitSources[t], prefix)
	}
	return traitSources[t]
}

// Kinds of referer (schemas.RefererKind) over "$host\n$http_referer".
const (
	refererNone = `[^\x0a]*\x0a-?\z`
	refererSame = `([^\x0a]+)\x0ahttps?://\1(?:[:/?#]|\z)`
)

// traitKey is the key, in a map over the trait's source, for exactly the
// requests for which schemas.Trait.Value gives this value.
func traitKey(t schemas.TraitValue) (string, error) {
	key, err := traitKeyOf(t)
	if err != nil {
		return "", fmt.Errorf("%s: %w", t.Trait, err)
	}
	return key, nil
}

func traitKeyOf(t schemas.TraitValue) (string, error) {
	switch t.Trait {
	case schemas.TraitUserAgent:
		return keyExact(t.Value, schemas.MaxText)
	case schemas.TraitAcceptLanguage, schemas.TraitAcceptEncoding:
		return keyExact(t.Value, schemas.MaxTrait)
	case schemas.TraitProtocol, schemas.TraitMethod:
		return keyExact(t.Value, schemas.MaxMethod)
	case schemas.TraitTLS:
		return build(tlsPattern, t.Value)
	case schemas.TraitPathShape:
		return build(pathPattern, t.Value)
	case schemas.TraitQueryKeys:
		return build(queryPattern, t.Value)
	case schemas.TraitAgentFamily:
		if t.Value == schemas.AgentNone { // nginx tries no pattern on an empty text
			return `""`, nil
		}
		return build(familyPattern, t.Value)
	case schemas.TraitReferer:
		switch t.Value {
		case "none":
			return keyPattern("^" + refererNone)
		case "same":
			return keyPattern("^" + refererSame)
		case "other":
			return keyPattern("^(?!" + refererNone + ")(?!" + refererSame + ")")
		}
	case schemas.TraitWideNetwork, schemas.TraitNarrowNetwork:
		return networkKey(t)
	case schemas.TraitPathKnown, schemas.TraitAgentKnown, schemas.TraitQueryKnown:
		if t.Value == schemas.PathKnown || t.Value == schemas.PathUnknown {
			return t.Value, nil
		}
	case schemas.TraitCookie:
		switch t.Value {
		case "none":
			return `""`, nil
		case "some":
			return keyPattern(`^[\s\S]`)
		}
	}
	return "", fmt.Errorf("no request has the value %q", t.Value)
}

func build(pattern func(string) (string, error), value string) (string, error) {
	p, err := pattern(value)
	if err != nil {
		return "", err
	}
	return keyPattern(p)
}

// grease is a curve that schemas.NormaliseTLS drops (RFC 8701).
const grease = `(?i:0x(?:0a0a|1a1a|2a2a|3a3a|4a4a|5a5a|6a6a|7a7a|8a8a|9a9a|aaaa|baba|caca|dada|eaea|fafa))`

// tlsPattern is a regular expression over "$ssl_protocol $ssl_cipher
// $ssl_curves" for exactly what schemas.NormaliseTLS turns into the value.
func tlsPattern(value string) (string, error) {
	if string(schemas.NormaliseTLS(nil, []byte(value))) != value || len(value) >= schemas.MaxTrait {
		return "", fmt.Errorf("%q is not in normal form, it would never match", value)
	}
	fields := strings.Split(value, " ")
	switch {
	case value == "":
		return `^ *\z`, nil
	case len(fields) == 1:
		return `^` + literal(value) + ` *\z`, nil
	}
	head := `^` + literal(fields[0]) + ` ` + literal(fields[1])
	if len(fields) == 2 {
		return head + `(?: (?:` + grease + `)?(?::(?:` + grease + `)?)*)?\z`, nil
	}
	var b strings.Builder
	// What may stand before a curve is written once and called: in full before each, some 35 curves, which a client may
	// well offer, would be more than nginx reads, and a score that lists them would be refused.
	b.WriteString(head + ` ((?:(?:` + grease + `)?:)*)`)
	for i, curve := range strings.Split(fields[2], ":") {
		if i > 0 {
			b.WriteString(`:(?1)`)
		}
		b.WriteString(literal(curve))
	}
	b.WriteString(`(?::(?:` + grease + `)?)*\z`)
	return b.String(), nil
}

// familyPattern is a regular expression over $http_user_agent for exactly the
// agents of which schemas.AgentFamily gives the value.
func familyPattern(value string) (string, error) {
	var b strings.Builder
	b.WriteByte('^')
	for _, family := range schemas.AgentFamilies() {
		words := make([]string, len(family.Words))
		for i, word := range family.Words {
			words[i] = literal(word)
		}
		has := `[\s\S]*(?:` + strings.Join(words, "|") + `)`
		if family.Fold {
			has = `(?i:` + has + `)`
		}
		if family.Name == value {
			b.WriteString(has)
			return b.String(), nil
		}
		b.WriteString(`(?!` + has + `)`)
	}
	if value == schemas.AgentTool {
		return b.String(), nil
	}
	return "", fmt.Errorf("no request has the value %q", value)
}
