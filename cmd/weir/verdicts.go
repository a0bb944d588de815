package main

import (
	"bufio"
	"io"
	"strconv"
	"time"

	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/schemas"
)

// verdictWriter writes one tab-separated line for every input line, in input
// order: file, line, time (RFC 3339, ms), site, client, action, decision.
type verdictWriter struct {
	w     *bufio.Writer
	files []string // as they were given, escaped
	rows  schemas.Rows
	line  []byte
	// The second that was last written, and its text: consecutive rows share it.
	second int64
	stamp  []byte
}

func newVerdictWriter(w io.Writer, files []string) *verdictWriter {
	v := &verdictWriter{w: bufio.NewWriterSize(w, 1<<18)}
	for _, f := range files {
		v.files = append(v.files, string(appendTSV(nil, []byte(f))))
	}
	return v
}

// write adds a chunk's lines; verdicts has one entry for every row of its batch.
func (v *verdictWriter) write(c *tail.Chunk, verdicts []verdict) error {
	v.rows.Reset(c.Batch)
	var r schemas.Request
	row := -1
	for i := range c.Lines {
		line := &c.Lines[i]
		b := append(v.line[:0], v.files[line.File]...)
		b = append(b, '\t')
		b = strconv.AppendUint(b, line.Number, 10)
		if line.Row < 0 {
			b = append(b, "\t\t\t\tallow\t\n"...)
		} else {
			for row < line.Row && v.rows.Next(&r) {
				row++
			}
			b = append(b, '\t')
			b = v.appendTime(b, r.Time)
			b = append(b, '\t')
			b = appendTSV(b, r.Site)
			b = append(b, '\t')
			if r.Client.IsValid() {
				b = r.Client.AppendTo(b)
			}
			b = append(b, '\t')
			b = append(b, verdicts[row].action...)
			b = append(b, '\t')
			b = append(b, verdicts[row].decision...)
			b = append(b, '\n')
		}
		v.line = b
		if _, err := v.w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func (v *verdictWriter) flush() error { return v.w.Flush() }

func (v *verdictWriter) appendTime(b []byte, ms int64) []byte {
	second := ms / 1000
	if ms < 0 && ms%1000 != 0 {
		second--
	}
	if second != v.second || v.stamp == nil {
		v.second = second
		v.stamp = time.Unix(second, 0).UTC().AppendFormat(v.stamp[:0], "2006-01-02T15:04:05.")
	}
	b = append(b, v.stamp...)
	fraction := ms - second*1000
	return append(b, byte('0'+fraction/100), byte('0'+fraction/10%10), byte('0'+fraction%10), 'Z')
}

// appendTSV escapes what would break a line or a field apart, as ClickHouse's
// TabSeparated does; other control bytes become \xHH.
func appendTSV(b, text []byte) []byte {
	const hex = "0123456789abcdef"
	for _, c := range text {
		switch {
		case c == '\\':
			b = append(b, `\\`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c < 0x20 || c == 0x7f:
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}
