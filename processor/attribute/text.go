package attribute

import "github.com/weir-project/weir/schemas"

// refusedBySite reports whether the site itself had nothing for the request: a page
// that is not there, or not for this client. Whoever loses such a request loses
// nothing. Failures of the site, and what a visitor gave up, are not among them, nor
// is the demand to log in, which is how many a conversation begins.
func refusedBySite(status uint16) bool {
	return status >= 400 && status < 499 && status != 401 && status != 407 && status != 429
}

func (x *text) set(r *schemas.Request) {
	x.n = 0
	x.add(r.Method, 16)
	x.add([]byte{' '}, 1)
	x.add(r.Path, 60)
	if len(r.Query) > 0 {
		x.add([]byte{'?'}, 1)
		x.add(r.Query, 30)
	}
	x.add([]byte(" | "), 3)
	x.add(r.UserAgent, maxText)
}

func (x *text) add(b []byte, limit int) {
	x.n += int32(copy(x.b[x.n:], b[:min(limit, len(b))]))
}
