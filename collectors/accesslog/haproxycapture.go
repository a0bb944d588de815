package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// captures are what HAProxy is told to capture, in the order in which its log has it.
// The log names nothing; so the lines of the configuration name it.
type captures struct {
	request, answer []capture
}

type capture struct {
	field field
	name  string // in Extra
}

// fields are those that captures fill.
func (c *captures) fields() (f schemas.Fields) {
	for _, list := range [2][]capture{c.request, c.answer} {
		for _, one := range list {
			f |= one.field.carried()
		}
	}
	return f
}

// isCaptures reports whether a text is lines of HAProxy's configuration.
func isCaptures(text string) bool {
	for _, words := range []string{"capture request header ", "capture response header ", "http-request capture ", "http-response capture "} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// readCaptures reads lines such as
//
//	capture request header User-Agent len 128
//	http-request capture req.hdr(Host) len 64
//
// as they stand in HAProxy's configuration (its manual, sections 4.2 and 7.3.6).
func readCaptures(text string) (*captures, error) {
	if len(text) > maxFormat {
		return nil, fmt.Errorf("log format: has %d bytes, at most %d", len(text), maxFormat)
	}
	c := &captures{}
	words := strings.Fields(text)
	for i := 0; i+2 < len(words); i++ {
		switch {
		case words[i] == "capture" && words[i+2] == "header" && i+3 < len(words) && words[i+1] == "request":
			c.request = append(c.request, capture{headerField(strings.ToLower(words[i+3])), nameInExtra(words[i+3])})
			i += 3
		case words[i] == "capture" && words[i+2] == "header" && i+3 < len(words) && words[i+1] == "response":
			c.answer = append(c.answer, capture{answerField(strings.ToLower(words[i+3])), answerInExtra(words[i+3])})
			i += 3
		case words[i] == "http-request" && words[i+1] == "capture":
			c.request = append(c.request, sampled(words[i+2], true))
			i += 2
		case words[i] == "http-response" && words[i+1] == "capture":
			c.answer = append(c.answer, sampled(words[i+2], false))
			i += 2
		}
	}
	if len(c.request)+len(c.answer) == 0 {
		return nil, errors.New("log format: names nothing that HAProxy captures: want lines such as capture request header User-Agent len 128")
	}
	return c, nil
}

// sampled is what an expression of HAProxy's gives: "req.hdr(User-Agent)",
// "req.fhdr(x,1),lower", "src_port".
func sampled(expression string, request bool) capture {
	method, rest, _ := strings.Cut(expression, "(")
	argument, _, _ := strings.Cut(rest, ")")
	argument, _, _ = strings.Cut(argument, ",")
	method, _, _ = strings.Cut(method, ",")
	kind := method[strings.LastIndexByte(method, '.')+1:]
	switch {
	case (kind == "hdr" || kind == "fhdr") && request:
		return capture{headerField(strings.ToLower(argument)), nameInExtra(argument)}
	case kind == "hdr" || kind == "fhdr":
		return capture{answerField(strings.ToLower(argument)), answerInExtra(argument)}
	case kind == "cook" || kind == "body" || strings.HasPrefix(kind, "body_") || strings.HasPrefix(kind, "http_auth"):
		return capture{} // never kept
	}
	return capture{fieldExtra, strings.ReplaceAll(method, ".", "_")}
}

// captured takes what was captured out of the line between the queues and the request:
// "{a|b} {c}", one block for each of request and answer of which anything is captured.
// HAProxy escapes braces, bars and quotes within.
func (p *haproxy) captured(text []byte, r *schemas.Request) {
	second, rest := lastBlock(text)
	first, rest := lastBlock(rest)
	p.termination(rest)
	if second == nil {
		return
	}
	c := p.captures
	if c == nil {
		c = &captures{}
	}
	switch {
	case first != nil:
		p.block(first, c.request, requestCaptures[:], r)
		p.block(second, c.answer, answerCaptures[:], r)
	case len(c.request) > 0 && len(c.answer) == 0:
		p.block(second, c.request, requestCaptures[:], r)
	case len(c.answer) > 0 && len(c.request) == 0:
		p.block(second, c.answer, answerCaptures[:], r)
	default: // of which side cannot be known
		p.block(second, nil, anyCaptures[:], r)
	}
}

// termination takes the state at disconnection ("cD--": who ended the session, and
// when), at the end of a line's part before the blocks: " cD-- 2/1/0/0/0 0/0". What
// ended in order is not worth a word.
func (p *haproxy) termination(text []byte) {
	for range 2 {
		space := bytes.LastIndexByte(text, ' ')
		if space < 0 {
			return
		}
		text = text[:space]
	}
	if n := len(text); n > 5 && text[n-5] == ' ' && (text[n-4] != '-' || text[n-3] != '-') {
		p.extra = appendExtra(p.extra, "termination", text[n-4:])
	}
}

// lastBlock cuts "{...}" off the end of text; nil where there is none.
func lastBlock(text []byte) (inside, before []byte) {
	n := len(text)
	if n < 2 || text[n-1] != '}' {
		return nil, text
	}
	open := bytes.LastIndexByte(text, '{')
	if open < 1 || text[open-1] != ' ' {
		return nil, text
	}
	return text[open+1 : n-1], text[:open-1]
}

// The names in Extra of captures without one.
var (
	requestCaptures = [8]string{"captured_request_1", "captured_request_2", "captured_request_3", "captured_request_4", "captured_request_5", "captured_request_6", "captured_request_7", "captured_request_8"}
	answerCaptures  = [8]string{"captured_response_1", "captured_response_2", "captured_response_3", "captured_response_4", "captured_response_5", "captured_response_6", "captured_response_7", "captured_response_8"}
	anyCaptures     = [8]string{"captured_1", "captured_2", "captured_3", "captured_4", "captured_5", "captured_6", "captured_7", "captured_8"}
)

// block gives the values of one block to what they are for. Where there are more or
// fewer than the configuration names, it is not that configuration's, and no name holds.
func (p *haproxy) block(inside []byte, known []capture, unnamed []string, r *schemas.Request) {
	if len(known) > 0 && bytes.Count(inside, []byte{'|'})+1 != len(known) {
		known = nil
	}
	for i := 0; ; i++ {
		bar := bytes.IndexByte(inside, '|')
		value := inside
		if bar >= 0 {
			value = inside[:bar:bar]
		}
		if i < len(known) {
			p.capture(known[i], value, r)
		} else if i < len(unnamed) {
			p.extra = appendExtra(p.extra, unnamed[i], p.plain(value))
		}
		if bar < 0 {
			return
		}
		inside = inside[bar+1:]
	}
}

func (p *haproxy) capture(c capture, value []byte, r *schemas.Request) {
	if value = p.plain(value); c.field != fieldExtra {
		value = dashless(value)
	}
	switch c.field {
	case fieldSite:
		r.Site = p.hosts.site(value)
	case fieldReferer:
		r.Referer = value
	case fieldUserAgent:
		r.UserAgent = value
	case fieldAcceptLanguage:
		r.AcceptLanguage = value
	case fieldAcceptEncoding:
		r.AcceptEncoding = value
	case fieldCookieHeader:
		if r.Cookie = schemas.CookieNone; len(value) > 0 {
			r.Cookie = schemas.CookieSome
		}
	case fieldRequestID:
		r.RequestID = value
	case fieldForwardedFor:
		r.ForwardedFor = value
	case fieldForwarded:
		r.Forwarded = value
	case fieldCacheStatus:
		if len(r.CacheStatus) == 0 {
			r.CacheStatus = value
		}
	case fieldExtra:
		p.extra = appendExtra(p.extra, c.name, value)
	}
}
