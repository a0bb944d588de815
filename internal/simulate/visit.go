package simulate

import (
	"net/http"
	"net/netip"
	"time"
)

// Kind is what somebody is. The truth file names it.
type Kind string

// The kinds of actors. Scanners are background noise that every site has, bots
// are the attack's.
const (
	Person  Kind = "person"
	Tool    Kind = "tool" // package managers, Git, feed readers, link previews, API clients, scripts
	Crawler Kind = "crawler"
	Monitor Kind = "monitor"
	Scanner Kind = "scanner"
	Bot     Kind = "bot"
)

// Actor is who makes a visit. One actor keeps its ID over visits and, where it
// goes there, sites.
type Actor struct {
	Kind Kind
	ID   string
}

// Visit is one stay of one actor at one site: steps of requests. It is not for
// concurrent use, but different visits may be used at the same time.
type Visit struct {
	Start  time.Duration // when its first step begins, after Config.Start; may be negative
	Site   *Site
	Actor  Actor
	script script
}

// script is what a kind of visitor does next, given the last step's answers.
type script interface {
	next(answers []Answer) (Step, bool)
}

// Step is requests that are sent whatever becomes of each other.
type Step struct {
	After    time.Duration // pause after the last answer of the step before
	Requests []Request     // in the order of Delay
}

// Request is what somebody means to send.
type Request struct {
	Delay          time.Duration // after the step's beginning
	Patience       time.Duration // after how long without an answer they hang up
	Site           string
	Client         netip.Addr
	Method         string
	URI            string // path and query
	Protocol       string // "HTTP/1.1" or "HTTP/2.0"
	Referer        string
	UserAgent      string
	AcceptLanguage string
	AcceptEncoding string
	TLS            string // "$ssl_protocol $ssl_cipher $ssl_curves" as nginx logs them; "  " without TLS
	Cookie         bool
	Conditional    bool // has a copy and asks whether it still holds

	resource *Resource
	warm     bool // of a bot that behaves before its attack
	joined   bool // of somebody who began to speak as the attack does in its midst
}

// Resource is what the request asks for.
func (r *Request) Resource() *Resource { return r.resource }

// Header is the request's header for a real client to send: without Host and the
// address, for which see Client. A Go client must have compression disabled and
// must not add headers of its own; an empty User-Agent stands as "", which Go's
// client takes as "send none".
func (r *Request) Header() http.Header {
	h := http.Header{"User-Agent": {r.UserAgent}}
	set := func(name, value string) {
		if value != "" {
			h.Set(name, value)
		}
	}
	set("Referer", r.Referer)
	set("Accept-Language", r.AcceptLanguage)
	set("Accept-Encoding", r.AcceptEncoding)
	if r.Cookie {
		h.Set("Cookie", "session=1")
	}
	if r.Conditional {
		h.Set("If-None-Match", `"1"`)
	}
	return h
}

// Answer is what became of a request.
type Answer struct {
	Status int // 499 where the visitor hung up, 0 where there was no answer at all
}

func (a Answer) failed() bool { return a.Status == 0 || a.Status == 499 || a.Status >= 500 }

// refused is what an edge answers to what it blocks or throttles.
func (a Answer) refused() bool { return a.Status == 403 || a.Status == 429 }

// Next is the visit's next step, given the answers to the last one's requests in
// their order (nil for the first step); false when the visit is over.
func (v *Visit) Next(answers []Answer) (Step, bool) { return v.script.next(answers) }

// once is a script of one step.
type once struct {
	step Step
	done bool
}

func (o *once) next([]Answer) (Step, bool) {
	if o.done || len(o.step.Requests) == 0 {
		return Step{}, false
	}
	o.done = true
	return o.step, true
}
