package accesslog

import (
	"unsafe"

	"github.com/weir-project/weir/schemas"
)

// commonHeaders are header fields that programs tell themselves apart by, in the order
// in which Extra has them, with their name there.
var commonHeaders = [numCommon]struct{ name, extra string }{
	{"Accept", "http_accept"},
	{"Connection", "http_connection"},
	{"Upgrade-Insecure-Requests", "http_upgrade_insecure_requests"},
	{"Sec-Fetch-Site", "http_sec_fetch_site"},
	{"Sec-Fetch-Mode", "http_sec_fetch_mode"},
	{"Sec-Fetch-Dest", "http_sec_fetch_dest"},
	{"Sec-Fetch-User", "http_sec_fetch_user"},
	{"Sec-Ch-Ua", "http_sec_ch_ua"},
	{"Sec-Ch-Ua-Mobile", "http_sec_ch_ua_mobile"},
	{"Sec-Ch-Ua-Platform", "http_sec_ch_ua_platform"},
	{"Priority", "http_priority"},
	{"Te", "http_te"},
	{"Dnt", "http_dnt"},
	{"Origin", "http_origin"},
	{"X-Requested-With", "http_x_requested_with"},
	{"Content-Type", "http_content_type"},
	{"Cache-Control", "http_cache_control"},
	{"Range", "http_range"},
}

const numCommon = 18

// commonHeader is the index in commonHeaders of a name in Go's canonical form, or -1.
func commonHeader(name []byte) int {
	switch string(name) {
	case "Accept":
		return 0
	case "Connection":
		return 1
	case "Upgrade-Insecure-Requests":
		return 2
	case "Sec-Fetch-Site":
		return 3
	case "Sec-Fetch-Mode":
		return 4
	case "Sec-Fetch-Dest":
		return 5
	case "Sec-Fetch-User":
		return 6
	case "Sec-Ch-Ua":
		return 7
	case "Sec-Ch-Ua-Mobile":
		return 8
	case "Sec-Ch-Ua-Platform":
		return 9
	case "Priority":
		return 10
	case "Te":
		return 11
	case "Dnt":
		return 12
	case "Origin":
		return 13
	case "X-Requested-With":
		return 14
	case "Content-Type":
		return 15
	case "Cache-Control":
		return 16
	case "Range":
		return 17
	}
	return -1
}

// header takes one header field of a request.
func (p *caddyJSON) header(name, value []byte, r *schemas.Request) {
	switch string(name) {
	case "Referer":
		r.Referer = value
	case "User-Agent":
		r.UserAgent = value
	case "Accept-Language":
		r.AcceptLanguage = value
	case "Accept-Encoding":
		r.AcceptEncoding = value
	case "Cookie":
		r.Cookie = schemas.CookieSome
	case "X-Forwarded-For":
		r.ForwardedFor = value
	case "Forwarded":
		r.Forwarded = value
	case "X-Request-Id":
		r.RequestID = value
	default:
		if i := commonHeader(name); i >= 0 {
			p.common[i] = value
			p.found.common |= 1 << i
		} else if len(p.rare) < maxRare {
			p.rare = append(p.rare, rareHeader{name, value})
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
