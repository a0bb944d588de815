package notify

import (
	"html"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// A span marks text that somebody else chose, or that is to be copied as it is. What it
// holds is printable, so the marks cannot occur in it.
const (
	spanBegin = '\x02'
	spanEnd   = '\x03'
)

// span marks text of weir's own, such as a command.
func span(text string) string { return string(spanBegin) + text + string(spanEnd) }

// quote makes hostile text inert, cuts it to width runes and marks it.
func quote(text string, width int) string { return span(inert(text, width)) }

// inert is text as it can be shown anywhere: what is not printable, what changes the
// direction or the look of other text (bidirectional controls, combining marks, every
// space but one) is escaped, and what a reader's program would make a link of is broken.
func inert(text string, width int) string {
	return visible(strings.ReplaceAll(text, "://", "[:]//"), width)
}

// visible is inert but for links: for weir's own logs.
func visible(text string, width int) string {
	var b strings.Builder
	n := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		piece := text[i : i+size]
		if r == utf8.RuneError && size <= 1 || !unicode.IsPrint(r) || unicode.IsMark(r) {
			quoted := strconv.QuoteToASCII(piece)
			piece = quoted[1 : len(quoted)-1]
		}
		if n += utf8.RuneCountInString(piece); n > width {
			return b.String() + "…"
		}
		b.WriteString(piece)
		i += size
	}
	return b.String()
}

// render writes text with what is outside of spans through outer and what is inside
// through inner.
func render(text string, outer, inner func(string) string) string {
	var b strings.Builder
	for text != "" {
		before, rest, found := strings.Cut(text, string(spanBegin))
		b.WriteString(outer(before))
		if !found {
			break
		}
		inside, after, _ := strings.Cut(rest, string(spanEnd))
		b.WriteString(inner(inside))
		text = after
	}
	return b.String()
}

func same(text string) string { return text }

// plain drops the marks.
func plain(text string) string { return render(text, same, same) }

// markdown is for Discord and Mattermost: spans are code, in which neither links nor
// mentions nor marks count. A backtick would end it: it becomes one that looks like it.
func markdown(text string) string {
	return render(text, escapeMarkdown.Replace, func(s string) string {
		return "`" + strings.ReplaceAll(s, "`", "\u02cb") + "`"
	})
}

var escapeMarkdown = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", `*`, `\*`, `_`, `\_`, `~`, `\~`, `[`, `\[`, `]`, `\]`, `<`, `\<`, `>`, `\>`, `|`, `\|`, `#`, `\#`, `@`, "@\u200b",
)

// slackText is Slack's own markup, whose three control characters are written as
// entities (https://docs.slack.dev/messaging/formatting-message-text).
func slackText(text string) string {
	return render(text, escapeSlack.Replace, func(s string) string {
		return "`" + strings.ReplaceAll(escapeSlack.Replace(s), "`", "\u02cb") + "`"
	})
}

var escapeSlack = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// htmlText is for Matrix.
func htmlText(text string) string {
	return render(text, html.EscapeString, func(s string) string { return "<code>" + html.EscapeString(s) + "</code>" })
}

// entity is a span as Telegram wants it: offset and length in UTF-16 code units.
type entity struct {
	Type   string `json:"type"`
	Offset int    `json:"offset"`
	Length int    `json:"length"`
}

// entities is text without marks, and where its spans are, so that nothing in it is
// parsed as markup at all.
func entities(text string) (string, []entity) {
	var found []entity
	var b strings.Builder
	at := 0
	write := func(s string) int {
		b.WriteString(s)
		n := len(utf16.Encode([]rune(s)))
		at += n
		return n
	}
	render(text, func(s string) string { write(s); return "" }, func(s string) string {
		from := at
		if n := write(s); n > 0 {
			found = append(found, entity{"code", from, n})
		}
		return ""
	})
	return b.String(), found
}

// cut shortens text to at most limit bytes, between runes.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := max(limit-len("…"), 0)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// cutRunes shortens text to at most limit runes.
func cutRunes(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	return string([]rune(text)[:limit-1]) + "…"
}
