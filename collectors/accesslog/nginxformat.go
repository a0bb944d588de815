package accesslog

import (
	"errors"
	"fmt"
	"strings"
)

// isNginx reports whether a text is nginx's rather than Apache's: it has a "$name".
func isNginx(text string) bool {
	for i := 0; i+1 < len(text); i++ {
		if text[i] == '$' && (text[i+1] == '{' || nameByte(text[i+1]) && text[i+1] > '9') {
			return true
		}
	}
	return false
}

func nameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// readNginx reads a log_format directive (ngx_http_log_module), its arguments
// behind the name, or the format itself, as pieces.
func readNginx(text string) (lead string, pieces []piece, mode escape, err error) {
	format := strings.TrimSpace(text)
	directive := strings.HasPrefix(format, "log_format") && len(format) > 10 && format[10] <= ' '
	if directive || strings.HasPrefix(format, "escape=") || strings.HasPrefix(format, "'") {
		words, err := nginxWords(format)
		if err != nil {
			return "", nil, 0, err
		}
		if directive {
			words = words[min(2, len(words)):]
		}
		if len(words) > 0 && strings.HasPrefix(words[0], "escape=") {
			if mode, err = escapeOf(words[0][len("escape="):]); err != nil {
				return "", nil, 0, err
			}
			words = words[1:]
		}
		format = strings.Join(words, "")
	}
	literal := &lead
	for i := 0; i < len(format); {
		name, next := variableAt(format, i)
		if name == "" {
			*literal += format[i:next]
			i = next
			continue
		}
		i = next
		if n := len(pieces); n > 0 && *literal == "" && joins(&pieces[n-1].op, name) {
			continue
		}
		pieces = append(pieces, piece{op: nginxVariable(name)})
		literal = &pieces[len(pieces)-1].literal
	}
	return lead, pieces, mode, nil
}

// variableAt is the name of the variable at i, "" for none, and the index behind.
func variableAt(format string, i int) (name string, next int) {
	if format[i] != '$' {
		if dollar := strings.IndexByte(format[i:], '$'); dollar > 0 {
			return "", i + dollar
		}
		return "", len(format)
	}
	if i+1 < len(format) && format[i+1] == '{' {
		if end := strings.IndexByte(format[i:], '}'); end > 0 {
			return format[i+2 : i+end], i + end + 1
		}
	}
	end := i + 1
	for end < len(format) && nameByte(format[end]) {
		end++
	}
	return format[i+1 : end], end
}

// joins reports whether a variable is part of the path that stands right before it:
// "$uri$is_args$args".
func joins(before *op, name string) bool {
	return before.field == fieldTarget && (name == "is_args" || name == "args" || name == "query_string")
}

func escapeOf(name string) (escape, error) {
	switch name {
	case "default":
		return escapeDefault, nil
	case "json":
		return escapeJSON, nil
	case "none":
		return escapeNone, nil
	}
	return 0, fmt.Errorf("escape=%s is not known: want default, json or none", name)
}

// nginxWords splits a directive as nginx's configuration does: words, or texts in
// either quote, up to a ';'.
func nginxWords(text string) (words []string, err error) {
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c <= ' ':
			i++
		case c == ';':
			return words, nil
		case c == '\'' || c == '"':
			word, next := nginxQuoted(text, i)
			if next < 0 {
				return nil, errors.New("a quote is not closed")
			}
			words, i = append(words, word), next
		default:
			end := i
			for end < len(text) && text[end] > ' ' && text[end] != ';' {
				end++
			}
			words, i = append(words, text[i:end]), end
		}
	}
	return words, nil
}

func nginxQuoted(text string, i int) (word string, next int) {
	var b strings.Builder
	quote := text[i]
	for i++; i < len(text); i++ {
		c := text[i]
		if c == quote {
			return b.String(), i + 1
		}
		if c == '\\' && i+1 < len(text) {
			switch text[i+1] {
			case '"', '\'', '\\':
				c, i = text[i+1], i+1
			case 't':
				c, i = '\t', i+1
			case 'r':
				c, i = '\r', i+1
			case 'n':
				c, i = '\n', i+1
			}
		}
		b.WriteByte(c)
	}
	return "", -1
}

// nginxVariable is what a variable's value is. Of one that is not known here, a
// client may have chosen any byte.
func nginxVariable(name string) op {
	o := nginxKnown(name)
	o.name, o.extra = "$"+name, name
	return o
}

func nginxKnown(name string) op {
	switch name {
	case "msec":
		return op{field: fieldMsec}
	case "time_iso8601":
		return op{field: fieldISO, length: len("2025-05-17T10:05:03+00:00")}
	case "time_local":
		return op{field: fieldClock, length: len("17/May/2015:10:05:03 +0000")}
	case "remote_addr", "realip_remote_addr", "proxy_protocol_addr":
		return op{field: fieldClient}
	case "proxy_add_x_forwarded_for":
		return op{field: fieldClient, chosen: true}
	case "host":
		return op{field: fieldSite, chosen: true, word: true}
	case "server_name":
		return op{field: fieldSite}
	case "request":
		return op{field: fieldRequest, chosen: true}
	case "request_uri", "uri", "document_uri":
		return op{field: fieldTarget, chosen: true}
	case "args", "query_string":
		return op{field: fieldQuery, chosen: true}
	case "request_method":
		return op{field: fieldMethod, chosen: true, word: true}
	case "server_protocol":
		return op{field: fieldProtocol, chosen: true, word: true}
	case "status":
		return op{field: fieldStatus}
	case "body_bytes_sent", "bytes_sent":
		return op{field: fieldBytes}
	case "request_time":
		return op{field: fieldSeconds}
	case "upstream_response_time":
		return op{field: fieldUpstream, several: true}
	case "upstream_cache_status":
		return op{field: fieldCacheStatus}
	case "ssl_protocol":
		return op{field: fieldTLSProtocol}
	case "ssl_cipher":
		return op{field: fieldTLSCipher}
	case "ssl_curves":
		return op{field: fieldTLSCurves, chosen: true, word: true}
	case "weir_cookie":
		return op{field: fieldCookieFlag}
	case "weir_action":
		return op{field: fieldAction}
	case "weir_decision":
		return op{field: fieldDecision}
	case "request_id", "req_id":
		return op{field: fieldRequestID}
	case "proxy_upstream_name", "proxy_host", "proxy_port", "namespace", "ingress_name", "service_name", "service_port",
		"pid", "pipe", "scheme", "https", "http2", "http3", "hostname", "nginx_version", "request_length", "request_completion",
		"connection", "connection_requests", "connection_time", "gzip_ratio", "remote_port", "realip_remote_port",
		"server_addr", "server_port", "limit_req_status", "limit_conn_status", "ssl_session_reused",
		"ssl_curve", "ssl_early_data", "msie6", "geoip_country_code", "geoip2_country_code", "proxy_protocol_port":
		return op{field: fieldExtra}
	case "is_args", "ssl_session_id":
		return op{}
	case "request_body": // may hold passwords
		return op{chosen: true}
	}
	return nginxNamed(name)
}

// nginxNamed is what a variable is whose name says so by its beginning.
func nginxNamed(name string) op {
	if header, ok := strings.CutPrefix(name, "http_"); ok {
		return op{field: headerField(strings.ReplaceAll(header, "_", "-")), chosen: true}
	}
	for _, prefix := range []string{"sent_http_", "upstream_http_"} {
		if header, ok := strings.CutPrefix(name, prefix); ok {
			return op{field: answerField(strings.ReplaceAll(header, "_", "-")), chosen: true}
		}
	}
	switch {
	case strings.HasPrefix(name, "cookie_"), strings.HasPrefix(name, "upstream_cookie_"):
		return op{chosen: true}
	case name == "upstream_addr", name == "upstream_status",
		strings.HasPrefix(name, "upstream_") && (strings.HasSuffix(name, "_time") || strings.Contains(name, "bytes") || strings.HasSuffix(name, "_length")):
		return op{field: fieldExtra, several: true}
	case strings.HasPrefix(name, "tcpinfo_"):
		return op{field: fieldExtra}
	}
	return op{field: fieldExtra, chosen: true}
}
