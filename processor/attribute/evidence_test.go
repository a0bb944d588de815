package attribute

import (
	"strings"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// TestSQLSaysWhatNoColumnTells: what a signature asks for and the table has stands in its query, and of
// the rest the query says that it shows more than the signature matches.
func TestSQLSaysWhatNoColumnTells(t *testing.T) {
	for _, c := range []struct {
		s          schemas.Signature
		want, more string
	}{
		{schemas.Signature{{Trait: schemas.TraitProtocol, Value: "HTTP/1.1"}, {Trait: schemas.TraitCookie, Value: "none"}}, "protocol = 'HTTP/1.1' AND cookie = 'none' ORDER", ""},
		{schemas.Signature{{Trait: schemas.TraitReferer, Value: "none"}, {Trait: schemas.TraitPathKnown, Value: "no"}}, "referer IN ('', '-') ORDER", "/* more than it matches: no column tells path_known */"},
		{schemas.Signature{{Trait: schemas.TraitPathShape, Value: "*/ x"}}, "site = 'a.example' ORDER", "/* more than it matches: no column tells path_shape */"},
	} {
		got := SQL("a.example", 0, c.s)
		if !strings.Contains(got, c.want) || strings.Contains(got, "/*") != (c.more != "") || !strings.HasSuffix(got, c.more) {
			t.Errorf("%v: %s", c.s, got)
		}
	}
}
