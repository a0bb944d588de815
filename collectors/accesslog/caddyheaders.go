package accesslog

import (
	"unsafe"

	"github.com/weir-project/weir/schemas"
)

// header is a header field of a request that many programs send, by Go's canonical
// form of its name.
type header uint8

// Those that stand in Request.Extra come first, in the order that they have there:
// programs tell themselves apart by them.
const (
	headerAccept header = iota
	headerConnection
	headerUpgradeInsecureRequests
	headerSecFetchSite
	headerSecFetchMode
	headerSecFetchDest
	headerSecFetchUser
	headerSecChUa
	headerSecChUaMobile
	headerSecChUaPlatform
	headerPriority
	headerTe
	headerDnt
	headerOrigin
	headerXRequestedWith
	headerContentType
	headerCacheControl
	headerRange
	numCommon = iota
)

// Those that have a place of their own, and all others.
const (
	headerReferer header = numCommon + iota
	headerUserAgent
	headerAcceptLanguage
	headerAcceptEncoding
	headerCookie
	headerXForwardedFor
	headerForwarded
	headerXRequestID
	headerRare
)

// commonHeaders are the names in Extra with what stands around them.
var commonHeaders = [numCommon]string{
	headerAccept:                  "\thttp_accept=",
	headerConnection:              "\thttp_connection=",
	headerUpgradeInsecureRequests: "\thttp_upgrade_insecure_requests=",
	headerSecFetchSite:            "\thttp_sec_fetch_site=",
	headerSecFetchMode:            "\thttp_sec_fetch_mode=",
	headerSecFetchDest:            "\thttp_sec_fetch_dest=",
	headerSecFetchUser:            "\thttp_sec_fetch_user=",
	headerSecChUa:                 "\thttp_sec_ch_ua=",
	headerSecChUaMobile:           "\thttp_sec_ch_ua_mobile=",
	headerSecChUaPlatform:         "\thttp_sec_ch_ua_platform=",
	headerPriority:                "\thttp_priority=",
	headerTe:                      "\thttp_te=",
	headerDnt:                     "\thttp_dnt=",
	headerOrigin:                  "\thttp_origin=",
	headerXRequestedWith:          "\thttp_x_requested_with=",
	headerContentType:             "\thttp_content_type=",
	headerCacheControl:            "\thttp_cache_control=",
	headerRange:                   "\thttp_range=",
}

func headerOf(name []byte) header {
	switch string(name) {
	case "Accept":
		return headerAccept
	case "Connection":
		return headerConnection
	case "Upgrade-Insecure-Requests":
		return headerUpgradeInsecureRequests
	case "Sec-Fetch-Site":
		return headerSecFetchSite
	case "Sec-Fetch-Mode":
		return headerSecFetchMode
	case "Sec-Fetch-Dest":
		return headerSecFetchDest
	case "Sec-Fetch-User":
		return headerSecFetchUser
	case "Sec-Ch-Ua":
		return headerSecChUa
	case "Sec-Ch-Ua-Mobile":
		return headerSecChUaMobile
	case "Sec-Ch-Ua-Platform":
		return headerSecChUaPlatform
	case "Priority":
		return headerPriority
	case "Te":
		return headerTe
	case "Dnt":
		return headerDnt
	case "Origin":
		return headerOrigin
	case "X-Requested-With":
		return headerXRequestedWith
	case "Content-Type":
		return headerContentType
	case "Cache-Control":
		return headerCacheControl
	case "Range":
		return headerRange
	case "Referer":
		return headerReferer
	case "User-Agent":
		return headerUserAgent
	case "Accept-Language":
		return headerAcceptLanguage
	case "Accept-Encoding":
		return headerAcceptEncoding
	case "Cookie":
		return headerCookie
	case "X-Forwarded-For":
		return headerXForwardedFor
	case "Forwarded":
		return headerForwarded
	case "X-Request-Id":
		return headerXRequestID
	}
	return headerRare
}

// header takes one header field of a request, which is plain where it had no escapes.
func (p *caddyJSON) header(name, value []byte, plain bool, r *schemas.Request) {
	switch h := headerOf(name); h {
	case headerReferer:
		r.Referer = value
	case headerUserAgent:
		r.UserAgent = value
	case headerAcceptLanguage:
		r.AcceptLanguage = value
	case headerAcceptEncoding:
		r.AcceptEncoding = value
	case headerCookie:
		r.Cookie = schemas.CookieSome
	case headerXForwardedFor:
		r.ForwardedFor = value
	case headerForwarded:
		r.Forwarded = value
	case headerXRequestID:
		r.RequestID = value
	case headerRare:
		if len(p.rare) < maxRare {
			p.rare = append(p.rare, rareHeader{name, value})
		}
	default:
		p.common[h] = value
		if p.found.common |= 1 << h; plain {
			p.found.escaped &^= 1 << h
		} else {
			p.found.escaped |= 1 << h
		}
	}
}

// answerHeader takes one header field of an answer.
func (p *caddyJSON) answerHeader(name, value []byte, r *schemas.Request) {
	var room [maxHeaderName]byte
	lower := room[:0]
	for _, c := range name[:min(len(name), len(room))] {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		lower = append(lower, c)
	}
	if cacheHeader(unsafe.String(&lower[0], len(lower))) && len(r.CacheStatus) == 0 {
		r.CacheStatus = dashless(value)
	}
}
