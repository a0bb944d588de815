package accesslog

import (
	"bytes"

	"github.com/weir-project/weir/schemas"
)

// field is what a value of a custom format is for.
type field uint8

const (
	fieldNone field = iota
	fieldMsec
	fieldEpochMicroseconds
	fieldEpochMilliseconds
	fieldISO
	fieldClock     // 17/May/2015:10:05:03 +0000
	fieldBracketed // the same in brackets
	fieldMoment    // a piece of a time, by its own pattern
	fieldClient
	fieldSite
	fieldRequest // the request line
	fieldTarget  // path and query
	fieldQuery   // with or without '?'
	fieldMethod
	fieldProtocol
	fieldStatus
	fieldBytes
	fieldSeconds
	fieldMilliseconds
	fieldMicroseconds
	fieldUpstream
	fieldReferer
	fieldUserAgent
	fieldAcceptLanguage
	fieldAcceptEncoding
	fieldTLSProtocol
	fieldTLSCipher
	fieldTLSCurves
	fieldCookieHeader
	fieldCookieFlag
	fieldAction
	fieldDecision
	fieldRequestID
	fieldCacheStatus
	fieldForwardedFor
	fieldForwarded
	fieldExtra // what has no other place, by its name
)

// carried is the field of a request that a field of the format fills.
func (f field) carried() schemas.Fields {
	switch f {
	case fieldSite:
		return schemas.FieldSite
	case fieldSeconds, fieldMilliseconds, fieldMicroseconds:
		return schemas.FieldDuration
	case fieldUpstream:
		return schemas.FieldUpstreamDuration
	case fieldReferer:
		return schemas.FieldReferer
	case fieldUserAgent:
		return schemas.FieldUserAgent
	case fieldAcceptLanguage:
		return schemas.FieldAcceptLanguage
	case fieldAcceptEncoding:
		return schemas.FieldAcceptEncoding
	case fieldTLSProtocol:
		return schemas.FieldTLS
	case fieldCookieHeader, fieldCookieFlag:
		return schemas.FieldCookie
	case fieldAction:
		return schemas.FieldAction
	case fieldRequestID:
		return schemas.FieldRequestID
	case fieldCacheStatus:
		return schemas.FieldCacheStatus
	case fieldExtra:
		return schemas.FieldExtra
	}
	return 0
}

// set gives a raw value to what it is for.
func (p *custom) set(o *op, raw []byte, r *schemas.Request) Reason {
	if o.field == fieldNone || o.field == fieldExtra {
		if !o.chosen && !o.several && o.length == 0 && bytes.IndexByte(raw, ' ') >= 0 {
			return Syntax // of a format with more in it than this one
		}
		if o.field == fieldNone {
			return None
		}
	}
	value, ok := p.plain(raw)
	if !ok {
		return Syntax
	}
	if o.field < fieldClient {
		return p.setTime(o, value, r)
	}
	if p.program.dashes {
		value = dashless(value)
	}
	switch o.field {
	case fieldClient:
		if r.Client, ok = parseClient(value, r); !ok {
			return Client
		}
	case fieldSite:
		p.scratch, r.Site = appendHost(p.scratch, value)
	case fieldRequest:
		splitRequest(value, r)
	case fieldTarget:
		query := r.Query
		if splitTarget(value, r); r.Query == nil {
			r.Query = query
		}
	case fieldQuery:
		if r.Query = value; len(value) > 0 && value[0] == '?' {
			r.Query = value[1:]
		}
	case fieldMethod:
		r.Method = value
	case fieldProtocol:
		r.Protocol = value
	case fieldReferer:
		r.Referer = value
	case fieldUserAgent:
		r.UserAgent = value
	case fieldAcceptLanguage:
		r.AcceptLanguage = value
	case fieldAcceptEncoding:
		r.AcceptEncoding = value
	case fieldTLSProtocol:
		p.line.protocol = value
	case fieldTLSCipher:
		p.line.cipher = value
	case fieldTLSCurves:
		p.line.curves = value
	case fieldCookieHeader, fieldCookieFlag:
		r.Cookie = schemas.CookieNone
		if len(value) > 0 && (o.field == fieldCookieHeader || parseCookie(value) == schemas.CookieSome) {
			r.Cookie = schemas.CookieSome
		}
	case fieldAction:
		r.Action = dashless(value)
	case fieldDecision:
		r.Decision = dashless(value)
	case fieldRequestID:
		r.RequestID = dashless(value)
	case fieldCacheStatus:
		r.CacheStatus = dashless(value)
	case fieldForwardedFor:
		r.ForwardedFor = dashless(value)
	case fieldForwarded:
		r.Forwarded = dashless(value)
	case fieldExtra:
		p.extra = appendExtra(p.extra, o.extra, value)
	default:
		return setNumber(o.field, value, r)
	}
	return None
}

func setNumber(f field, value []byte, r *schemas.Request) Reason {
	ok := true
	switch f {
	case fieldStatus:
		r.Status, ok = parseStatus(value)
	case fieldBytes:
		r.Bytes, ok = parseCount(value)
	case fieldSeconds:
		r.Duration, ok = parseSeconds(value)
	case fieldMilliseconds:
		if r.Duration, ok = parseCount(value); r.Duration > 1e15 {
			ok = false
		}
		r.Duration *= 1000
	case fieldMicroseconds:
		r.Duration, ok = parseCount(value)
	case fieldUpstream:
		r.UpstreamDuration, ok = sumSeconds(value)
	}
	return verdict(true, ok)
}

func (p *custom) setTime(o *op, value []byte, r *schemas.Request) Reason {
	if o.length > 0 && len(value) != o.length { // alone between quotes, or escaped
		return Time
	}
	ok := false
	switch o.field {
	case fieldMsec:
		r.Time, ok = parseTime(value)
	case fieldEpochMilliseconds:
		r.Time, ok = parseCount(value)
		ok = ok && len(value) > 1 && r.Time <= maxTime
	case fieldEpochMicroseconds:
		r.Time, ok = parseCount(value)
		r.Time /= 1000
		ok = ok && len(value) > 1 && r.Time <= maxTime
	case fieldISO:
		r.Time, ok = parseRFC3339(value)
		ok = ok && r.Time >= minTime && r.Time <= maxTime
	case fieldClock:
		r.Time, ok = p.clock.parse(value)
	case fieldBracketed:
		if value[0] == '[' && value[27] == ']' {
			r.Time, ok = p.clock.parse(value[1:27])
		}
	case fieldMoment:
		ok = p.line.moment.read(o.pattern, value)
	}
	if !ok {
		return Time
	}
	return None
}

// finish sets what depends on several values.
func (p *custom) finish(r *schemas.Request) Reason {
	if p.program.moments {
		var ok bool
		if r.Time, ok = p.line.moment.time(); !ok {
			return Time
		}
	}
	r.Extra = p.extra
	if p.program.fields.Has(schemas.FieldTLS) && len(p.line.protocol) > 0 {
		start := len(p.scratch)
		p.scratch = append(p.scratch, p.line.protocol...)
		p.scratch = append(append(p.scratch, ' '), p.line.cipher...)
		p.scratch = append(append(p.scratch, ' '), p.line.curves...)
		r.TLS = p.tls.normalise(p.scratch[start:])
	}
	return None
}
