package e2e

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// show draws what is pending, but for a sequence that has not come to its end.
func (x *terminal) show() {
	for len(x.pending) > 0 {
		n := x.next(x.pending)
		if n == 0 {
			return
		}
		x.pending = x.pending[n:]
	}
}

// next draws a character or obeys a sequence, and returns its length, 0 for a part of one.
func (x *terminal) next(p []byte) int {
	switch {
	case p[0] == 0x1b:
		return x.sequence(p)
	case p[0] == '\r':
		x.x = 0
		return 1
	case p[0] == '\n':
		if x.y++; x.y >= x.height {
			x.y = x.height - 1
			x.cells = append(x.cells[1:], []rune(strings.Repeat(" ", x.width)))
		}
		return 1
	case p[0] < 0x20:
		return 1
	case !utf8.FullRune(p):
		return 0
	}
	r, n := utf8.DecodeRune(p)
	if x.x < x.width {
		x.cells[x.y][x.x] = r
	}
	x.x++
	return n
}

// sequence obeys an escape sequence: those that move the cursor and clear, and the modes of
// the alternate screen and the cursor. Colours and what else there is show nothing.
func (x *terminal) sequence(p []byte) int {
	if len(p) < 2 {
		return 0
	}
	if p[1] == ']' { // to the terminal's program; up to BEL or ST
		x.asked = true
		if end := bytes.IndexAny(p, "\a\\"); end > 0 {
			return end + 1
		}
		return 0
	}
	if p[1] != '[' {
		return 2
	}
	end := bytes.IndexFunc(p[2:], func(r rune) bool { return r >= '@' && r <= '~' })
	if end < 0 {
		return 0
	}
	parameters := string(p[2 : 2+end])
	numbers := strings.Split(strings.TrimPrefix(parameters, "?"), ";")
	number := func(i, otherwise int) int {
		if i < len(numbers) {
			if n, err := strconv.Atoi(numbers[i]); err == nil {
				return n
			}
		}
		return otherwise
	}
	switch p[2+end] {
	case 'n', 'c':
		x.asked = true
	case 'A':
		x.y -= number(0, 1)
	case 'B':
		x.y += number(0, 1)
	case 'C':
		x.x += number(0, 1)
	case 'D':
		x.x -= number(0, 1)
	case 'G':
		x.x = number(0, 1) - 1
	case 'H':
		x.y, x.x = number(0, 1)-1, number(1, 1)-1
	case 'J':
		x.clear(number(0, 0) == 2, x.height)
	case 'K':
		x.clear(number(0, 0) == 2, 1)
	case 'h', 'l':
		x.mode(parameters, p[2+end] == 'h')
	}
	x.x, x.y = max(x.x, 0), min(max(x.y, 0), x.height-1)
	return 3 + end
}

// clear clears from the cursor on, or all of it: of the line, or of the lines from it on.
func (x *terminal) clear(all bool, lines int) {
	from, to := x.y, min(x.y+lines, x.height)
	if all && lines > 1 {
		from = 0
	}
	for y := from; y < to; y++ {
		for at := range x.cells[y] {
			if all || y > x.y || at >= x.x {
				x.cells[y][at] = ' '
			}
		}
	}
}

func (x *terminal) mode(which string, on bool) {
	switch which {
	case "?1049":
		x.own = on
	case "?25":
		x.hidden = !on
	}
}
