package simulate

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Format is a log format.
type Format string

// The formats that a log can be written in.
const (
	FormatJSON     Format = "json"     // weir's own, all traits
	FormatCombined Format = "combined" // nginx's and Apache's, without the host: for one site
)

// ParseFormat reads a format's name.
func ParseFormat(name string) (Format, error) {
	if f := Format(name); f == FormatJSON || f == FormatCombined {
		return f, nil
	}
	return "", fmt.Errorf("simulate: format %q; give json or combined", name)
}

// Append appends the record's line, with its newline.
func (f Format) Append(dst []byte, r *Record) []byte {
	if f == FormatCombined {
		return AppendCombined(dst, r)
	}
	return AppendJSON(dst, r)
}

// AppendJSON appends the record as nginx's log_format weir writes it.
func AppendJSON(dst []byte, r *Record) []byte {
	field := func(name, value string) {
		dst = append(dst, ',', '"')
		dst = append(dst, name...)
		dst = append(dst, `":"`...)
		dst = appendEscaped(dst, value)
		dst = append(dst, '"')
	}
	number := func(name string) {
		dst = append(dst, ',', '"')
		dst = append(dst, name...)
		dst = append(dst, `":`...)
	}
	dst = append(dst, `{"time":"`...)
	dst = appendMillis(dst, r.Time.UnixMilli())
	dst = append(dst, '"')
	field("host", r.Site)
	dst = append(dst, `,"client":"`...)
	dst = r.Client.AppendTo(dst)
	dst = append(dst, '"')
	field("method", r.Method)
	field("uri", r.URI)
	field("protocol", r.Protocol)
	number("status")
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	number("bytes")
	dst = strconv.AppendInt(dst, int64(r.Bytes), 10)
	number("duration")
	dst = appendMillis(dst, r.Duration.Milliseconds())
	dst = append(dst, `,"upstream_duration":"`...)
	if r.Upstream >= 0 {
		dst = appendMillis(dst, r.Upstream.Milliseconds())
	}
	dst = append(dst, '"')
	field("referer", r.Referer)
	field("user_agent", r.UserAgent)
	field("accept_language", r.AcceptLanguage)
	field("accept_encoding", r.AcceptEncoding)
	field("tls", r.TLS)
	cookie := ""
	if r.Cookie {
		cookie = "1"
	}
	field("cookie", cookie)
	action := r.Action
	if action == "" {
		action = schemas.Allow
	}
	field("action", string(action))
	dst = append(dst, `,"decision":"","request_id":"`...)
	dst = hex.AppendEncode(dst, r.RequestID[:])
	return append(dst, '"', '}', '\n')
}

// AppendCombined appends the record in the combined format. It does not name the
// site: write one site's records only.
func AppendCombined(dst []byte, r *Record) []byte {
	dst = r.Client.AppendTo(dst)
	dst = append(dst, " - - ["...)
	dst = r.Time.UTC().AppendFormat(dst, "02/Jan/2006:15:04:05 -0700")
	dst = append(dst, `] "`...)
	dst = appendQuoted(dst, r.Method+" "+r.URI+" "+r.Protocol)
	dst = append(dst, `" `...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(r.Bytes), 10)
	for _, s := range [...]string{r.Referer, r.UserAgent} {
		dst = append(dst, ` "`...)
		if s == "" {
			s = "-"
		}
		dst = appendQuoted(dst, s)
		dst = append(dst, '"')
	}
	return append(dst, '\n')
}

// appendMillis appends milliseconds as seconds with three decimals.
func appendMillis(dst []byte, t int64) []byte {
	dst = strconv.AppendInt(dst, t/1000, 10)
	part := t % 1000
	return append(dst, '.', byte('0'+part/100), byte('0'+part/10%10), byte('0'+part%10))
}

// appendEscaped escapes as nginx's escape=json does.
func appendEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', digitsUpper[c>>4], digitsUpper[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

const digitsUpper = "0123456789ABCDEF"

// appendQuoted escapes as nginx's default does.
func appendQuoted(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c == '"' || c == '\\' || c < 0x20 || c > 0x7e {
			dst = append(dst, '\\', 'x', digitsUpper[c>>4], digitsUpper[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// truthTime is how the truth file writes times.
const truthTime = "2006-01-02T15:04:05.000Z07:00"

func appendTime(dst []byte, t time.Time) []byte { return t.UTC().AppendFormat(dst, truthTime) }
