package nginx

import (
	"bytes"
	"fmt"
	"sort"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// signatureList collects the measures of signatures and of scores. Each trait of signatures becomes one map
// from its variable to the number of the value; each combination of traits one
// map from numbers to hits. So a request costs one pattern for each distinct
// value, not for each signature, and nothing an attacker sends is ever joined
// with anything else before it is matched.
type signatureList struct {
	keys   [schemas.NumTraits]map[string]int // a map's key -> its number
	shapes map[string]map[string][]hit       // traits -> numbers, both joined -> hits
	traits map[string][]schemas.Trait
	scores map[int]*scoreGroup // by the number of their set of sites
}

func newSignatureList() *signatureList {
	l := &signatureList{shapes: map[string]map[string][]hit{}, traits: map[string][]schemas.Trait{}}
	for t := range l.keys {
		l.keys[t] = map[string]int{}
	}
	return l
}

// prepare parses and quotes a signature, or says why nginx cannot carry it.
func prepare(value string) (schemas.Signature, []string, error) {
	signature, err := schemas.ParseSignature(value)
	if err != nil {
		return nil, nil, err
	}
	keys := make([]string, len(signature))
	for i, t := range signature {
		if keys[i], err = traitKey(t); err != nil {
			return nil, nil, fmt.Errorf("signature: %w", err)
		}
	}
	return signature, keys, nil
}

// add takes what prepare returned. Signatures are added in a fixed order: the
// order numbers the values.
func (l *signatureList) add(signature schemas.Signature, keys []string, h hit) {
	var shape, numbers strings.Builder
	traits := make([]schemas.Trait, len(signature))
	for i, t := range signature {
		n := numberOf(l.keys[t.Trait], keys[i])
		fmt.Fprintf(&shape, "%s,", t.Trait)
		fmt.Fprintf(&numbers, "%d:", n)
		traits[i] = t.Trait
	}
	if l.shapes[shape.String()] == nil {
		l.shapes[shape.String()] = map[string][]hit{}
		l.traits[shape.String()] = traits
	}
	hits := l.shapes[shape.String()]
	hits[numbers.String()] = append(hits[numbers.String()], h)
}

// numberOf is the number of a trait's value among those of its trait, given by its key.
func numberOf(values map[string]int, key string) int {
	n, ok := values[key]
	if !ok {
		n = len(values) + 1
		values[key] = n
	}
	return n
}

// writeNumbers defines a variable with the number of what a request shows of a trait, 0 where that is none of the values.
func writeNumbers(b *bytes.Buffer, values map[string]int, source, variable string) {
	if len(values) == 0 {
		return
	}
	fmt.Fprintf(b, "map %s $%s {\n    default 0;\n", source, variable)
	byNumber := make([]string, len(values)+1)
	for key, n := range values {
		byNumber[n] = key
	}
	for n, key := range byNumber[1:] {
		fmt.Fprintf(b, "    %s %d;\n", key, n+1)
	}
	b.WriteString("}\n")
}

func (l *signatureList) write(b *bytes.Buffer, prefix string) {
	for t, keys := range l.keys {
		writeNumbers(b, keys, sourceOf(schemas.Trait(t), prefix), fmt.Sprintf("%s_is_%s", prefix, schemas.Trait(t)))
	}
	var all strings.Builder
	for n, shape := range sortedKeys(l.shapes) {
		name := fmt.Sprintf("%s_signature%d", prefix, n+1)
		fmt.Fprintf(&all, "${%s}", name)
		b.WriteString(`map "`)
		for _, t := range l.traits[shape] {
			fmt.Fprintf(b, "${%s_is_%s}:", prefix, t)
		}
		fmt.Fprintf(b, "\" $%s {\n    default \"\";\n", name)
		for _, numbers := range sortedKeys(l.shapes[shape]) {
			fmt.Fprintf(b, "    %s %s;\n", numbers, appendHits(nil, l.shapes[shape][numbers]))
		}
		b.WriteString("}\n")
	}
	all.WriteString(l.writeScores(b, prefix))
	fmt.Fprintf(b, "map \"\" $%s_signature {\n    default \"%s\";\n}\n", prefix, all.String())
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
