package accesslog

import (
	"errors"
	"strings"
)

// readApache reads a LogFormat, TransferLog or CustomLog directive, or the format
// itself (Apache's mod_log_config), as pieces.
func readApache(text string) (lead string, pieces []piece, err error) {
	format, err := apacheFormat(strings.TrimSpace(text))
	if err != nil {
		return "", nil, err
	}
	literal := &lead
	for i := 0; i < len(format); i++ {
		switch c := format[i]; {
		case c == '\\' && i+1 < len(format):
			i++
			*literal += apacheEscape(format[i])
		case c == '%' && i+1 < len(format) && format[i+1] == '%':
			i++
			*literal += "%"
		case c == '%':
			o, last, err := apacheVariable(format, i)
			if err != nil {
				return "", nil, err
			}
			i = last
			if n := len(pieces); n > 0 && *literal == "" && pieces[n-1].op.field == fieldTarget && o.field == fieldQuery {
				continue // "%U%q" is one target
			}
			pieces = append(pieces, piece{op: o})
			literal = &pieces[len(pieces)-1].literal
		default:
			*literal += string(c)
		}
	}
	return lead, pieces, nil
}

// apacheFormat is the format within a directive: the word behind "LogFormat", the
// one behind the file of "CustomLog", a text in quotes, or all of it.
func apacheFormat(text string) (string, error) {
	directive, _, _ := strings.Cut(text, " ")
	word := 1
	switch strings.ToLower(directive) {
	case "logformat", "transferlog":
	case "customlog":
		word = 2
	default:
		if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' || !strings.Contains(text, `\"`) {
			return text, nil
		}
		word = 0
	}
	words, err := apacheWords(text)
	if err == nil && len(words) <= word {
		err = errors.New("the directive has no format")
	}
	if err != nil {
		return "", err
	}
	return words[word], nil
}

// apacheWords splits a directive as Apache's configuration does.
func apacheWords(text string) (words []string, err error) {
	for i := 0; i < len(text); {
		c := text[i]
		if c <= ' ' {
			i++
			continue
		}
		if c != '"' && c != '\'' {
			end := i
			for end < len(text) && text[end] > ' ' {
				end++
			}
			words, i = append(words, text[i:end]), end
			continue
		}
		var b strings.Builder
		for i++; i < len(text) && text[i] != c; i++ {
			if text[i] == '\\' && i+1 < len(text) && (text[i+1] == c || text[i+1] == '\\') {
				i++
			}
			b.WriteByte(text[i])
		}
		if i == len(text) {
			return nil, errors.New("a quote is not closed")
		}
		words, i = append(words, b.String()), i+1
	}
	return words, nil
}

func apacheEscape(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 'r':
		return "\r"
	}
	return string(c)
}

// apacheVariable reads "%>s", "%{User-Agent}i", "%400,501{X}o" at i and gives the
// index of its last byte. A value that is only written for some statuses is nothing
// that can be relied on.
func apacheVariable(format string, i int) (o op, last int, err error) {
	start := i
	some := false
	argument := ""
	for i++; i < len(format); i++ {
		switch c := format[i]; {
		case c == '>' || c == '<':
		case c == '!' || c == ',' || c-'0' <= 9:
			some = true
		case c == '{':
			end := strings.IndexByte(format[i:], '}')
			if end < 0 {
				return o, 0, errors.New("a brace is not closed")
			}
			argument, i = format[i+1:i+end], i+end
		default:
			letter := format[i : i+1]
			if c == '^' && i+2 < len(format) {
				letter, i = format[i:i+3], i+2
			}
			if o, err = apacheKnown(letter, argument); err != nil {
				return o, 0, err
			}
			if o.name = format[start : i+1]; some {
				o.field = fieldNone
			}
			if o.extra = apacheInExtra(letter, argument); o.extra == "" && o.field == fieldExtra {
				o.field = fieldNone
			}
			return o, i, nil
		}
	}
	return o, 0, errors.New("it ends within a %")
}

// apacheKnown is what the value of a letter is. Of one that is not known here, a
// client may have chosen any byte.
func apacheKnown(letter, argument string) (op, error) {
	switch letter {
	case "a":
		return op{field: fieldClient}, nil
	case "h":
		return op{field: fieldClient}, nil
	case "t":
		return apacheTime(argument)
	case "r":
		return op{field: fieldRequest, chosen: true}, nil
	case "U":
		return op{field: fieldTarget, chosen: true}, nil
	case "q":
		return op{field: fieldQuery, chosen: true}, nil
	case "m":
		return op{field: fieldMethod, chosen: true, word: true}, nil
	case "H":
		return op{field: fieldProtocol, chosen: true, word: true}, nil
	case "s":
		return op{field: fieldStatus}, nil
	case "b", "B", "O":
		return op{field: fieldBytes}, nil
	case "D":
		return op{field: fieldMicroseconds}, nil
	case "T":
		switch argument {
		case "ms":
			return op{field: fieldMilliseconds}, nil
		case "us":
			return op{field: fieldMicroseconds}, nil
		}
		return op{field: fieldSeconds}, nil
	case "v", "V":
		return op{field: fieldSite, chosen: letter == "V", word: true}, nil
	case "i":
		return op{field: headerField(strings.ToLower(argument)), chosen: true}, nil
	case "o":
		return op{field: answerField(strings.ToLower(argument)), chosen: true}, nil
	case "C":
		return op{chosen: true}, nil
	case "x":
		switch argument {
		case "SSL_PROTOCOL":
			return op{field: fieldTLSProtocol}, nil
		case "SSL_CIPHER":
			return op{field: fieldTLSCipher}, nil
		}
	case "e":
		switch argument {
		case "UNIQUE_ID":
			return op{field: fieldRequestID}, nil
		case "cache-status":
			return op{field: fieldCacheStatus, chosen: true}, nil
		}
	case "A", "I", "k", "l", "L", "p", "P", "R", "S", "X":
		return op{field: fieldExtra}, nil
	}
	return op{field: fieldExtra, chosen: true}, nil
}

// apacheInExtra is how the value of a letter is called in Extra: by nginx's word for it
// where nginx has one. It is empty for what is not kept.
func apacheInExtra(letter, argument string) string {
	switch letter {
	case "i":
		return nameInExtra(argument)
	case "o":
		return answerInExtra(argument)
	case "l", "^ti", "^to":
		return ""
	case "e", "n", "x":
		return strings.ToLower(argument)
	}
	return map[string]string{
		"A": "server_addr", "I": "request_length", "k": "connection_requests", "L": "log_id", "p": "server_port", "P": "pid",
		"R": "handler", "S": "bytes_transferred", "X": "connection_status", "f": "request_filename", "u": "remote_user",
		"a": "remote_addr", "h": "remote_host", "v": "server_name", "V": "host", "b": "body_bytes_sent", "B": "body_bytes_sent", "O": "bytes_sent",
		"D": "request_time_us", "T": "request_time", "m": "request_method", "H": "server_protocol", "U": "uri", "q": "args", "s": "status",
	}[letter]
}

// apacheTime reads the argument of %t.
func apacheTime(argument string) (op, error) {
	argument = strings.TrimPrefix(strings.TrimPrefix(argument, "begin:"), "end:")
	switch argument {
	case "", "begin", "end":
		return op{field: fieldBracketed, length: len("[17/May/2015:10:05:03 +0000]")}, nil
	case "sec":
		return op{field: fieldMsec}, nil
	case "msec":
		return op{field: fieldEpochMilliseconds}, nil
	case "usec":
		return op{field: fieldEpochMicroseconds}, nil
	case "msec_frac":
		return op{field: fieldMoment, pattern: "%3", length: 3}, nil
	case "usec_frac":
		return op{field: fieldMoment, pattern: "%6", length: 6}, nil
	}
	n, err := patternLength(argument)
	return op{field: fieldMoment, pattern: argument, length: n}, err
}
