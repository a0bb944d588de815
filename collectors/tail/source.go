package tail

import (
	"fmt"
	"math"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/schemas"
)

// source gives the lines of one input, parsed, each with the key that puts it
// in order among those of other inputs (see pace). A refused line has that of the line
// before.
type source struct {
	index         int
	site          []byte
	in            *opened
	lines         lineReader
	parser, spare accesslog.Parser
	finder        *accesslog.Finder // parser, where nobody named the format
	resolve       func(*schemas.Request)
	stats         FileStats
	alone         bool    // there are no other inputs
	times         []int64 // of the lines after this one, while they are looked at

	pace
	reason  accesslog.Reason
	request schemas.Request // valid until advance
	failed  error           // why the input ended before its end
}

func openSource(index int, input Input, o *Options) (*source, error) {
	in, err := openInput(input, o)
	if err != nil {
		return nil, err
	}
	s := &source{index: index, in: in, pace: pace{key: math.MinInt64}, resolve: o.Resolve}
	s.lines.source = in
	if input.Site != "" {
		s.site = []byte(input.Site)
	}
	format := input.Format
	s.parser, s.spare = accesslog.New(format), accesslog.New(format)
	if format == accesslog.Auto {
		lines, raw := s.lines.sample()
		if format, err = findFormat(input.Path, lines, raw); err != nil {
			in.close()
			return nil, err
		}
		s.finder = new(accesslog.Finder)
		s.finder.Reset(format)
		spare := new(accesslog.Finder)
		spare.Reset(format)
		s.parser, s.spare = s.finder, spare
	}
	s.stats = FileStats{Path: input.Path, Site: input.Site, Format: format}
	return s, nil
}

// advance takes the next line; false at the end.
func (s *source) advance() bool {
	line, reason, ok := s.lines.next()
	if !ok {
		if s.lines.failed != nil {
			s.failed = fmt.Errorf("log %s: %w", s.stats.Path, s.lines.failed)
		}
		return false
	}
	s.stats.Lines++
	if reason == accesslog.None {
		reason = s.parser.Parse(line, &s.request)
	}
	if s.reason = reason; reason != accesslog.None {
		s.stats.Refused[reason]++
		return true
	}
	if s.finder != nil && s.finder.Format() != s.stats.Format {
		s.stats.Others++
	}
	t := s.request.Time
	if s.stats.Parsed++; s.stats.Parsed == 1 {
		s.stats.First, s.stats.Last = t, t
	}
	s.stats.First, s.stats.Last = min(s.stats.First, t), max(s.stats.Last, t)
	shift := s.shift
	if s.take(t, s.alone, s.following) {
		s.stats.Strays++
	}
	s.stats.SetBack += max(0, s.shift-shift)
	if s.site != nil {
		s.request.Site = s.site
		s.request.Fields |= schemas.FieldSite
	}
	if s.resolve != nil {
		s.resolve(&s.request)
	}
	return true
}

// merge is a binary heap of sources, by key and then by index.
type merge []*source

func (m merge) less(i, j int) bool {
	return m[i].key < m[j].key || m[i].key == m[j].key && m[i].index < m[j].index
}

// push adds a source that has a line.
func (m *merge) push(s *source) {
	*m = append(*m, s)
	h := *m
	for i := len(h) - 1; i > 0 && h.less(i, (i-1)/2); i = (i - 1) / 2 {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
	}
}

// next takes the next line of the first source and puts that one in its place.
func (m *merge) next() {
	h := *m
	if !h[0].advance() {
		h[0] = h[len(h)-1]
		h = h[:len(h)-1]
		*m = h
	}
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
