package attribute

import (
	"bytes"

	"github.com/weir-project/weir/schemas"
)

// refusedBySite reports whether the site itself had nothing for the request: a page
// that is not there, or not for this client. Whoever loses such a request loses
// nothing. Failures of the site, and what a visitor gave up, are not among them, nor
// is the demand to log in, which is how many a conversation begins.
func refusedBySite(status uint16) bool {
	return status >= 400 && status < 499 && status != 401 && status != 407 && status != 429
}

// set takes what may be shown to people: of the query the keys only, for its values may be
// a visitor's search or the token that resets a password, and these texts go to everybody
// who is told of a decision.
func (x *text) set(r *schemas.Request) {
	x.n = 0
	x.add(r.Method, 16)
	x.add([]byte{' '}, 1)
	x.add(r.Path, 60)
	if len(r.Query) > 0 {
		x.add([]byte{'?'}, 1)
		x.addKeys(r.Query)
	}
	x.add([]byte(" | "), 3)
	x.add(r.UserAgent, maxText)
}

func (x *text) add(b []byte, limit int) {
	x.n += int32(copy(x.b[x.n:], b[:min(limit, len(b))]))
}

// maxBareKey is how long a part of a query may be to be shown as a key: what is longer may be
// a token that stands there without one.
const maxBareKey = 32

func (x *text) addKeys(query []byte) {
	var room [512]byte
	keys := schemas.QueryKeys(room[:0], query)
	for n := int32(0); len(keys) > 0 && n < 30; {
		key, rest, more := bytes.Cut(keys, []byte{'&'})
		if len(key) > maxBareKey {
			key = []byte{'*'}
		}
		before := x.n
		x.add(key, maxBareKey)
		if more {
			x.add([]byte{'&'}, 1)
		}
		n += x.n - before
		keys = rest
	}
}
