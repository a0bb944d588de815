package simulate

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TruthHeader is the first line of a truth file. The file is tab-separated, one
// line for every line of the log in the log's order:
//
//	line           of the log, from 1
//	site           that was asked
//	kind           of the actor: person, tool, crawler, monitor, scanner, bot
//	actor          its id; one person or program keeps it
//	client         the IPv4 address or the first address of the IPv6 /64
//	attack         1 if the request is the attack's, else 0
//	would_succeed  1 if the site, not overwhelmed, answers it with a status below 400
//	sent           when the request was sent (RFC 3339, ms), not when it was logged
const TruthHeader = "line\tsite\tkind\tactor\tclient\tattack\twould_succeed\tsent"

// Output says where a log goes.
type Output struct {
	Format Format
	// Site restricts the log to one site, "" is all of them. A combined log does
	// not name the site, and so holds one only.
	Site  string
	Log   io.Writer
	Truth io.Writer // nil for none
	// Progress is told now and then how far the log has come, 0 to 1; nil for none.
	Progress func(share float64)
}

// Summary is what a written log holds.
type Summary struct {
	Lines       int64            `json:"lines"`
	Bytes       int64            `json:"bytes"`
	Kinds       map[Kind]int64   `json:"kinds"` // lines by kind of actor
	Sites       map[string]int64 `json:"sites"` // lines by site
	Statuses    map[int]int64    `json:"statuses"`
	First       time.Time        `json:"first"`
	Last        time.Time        `json:"last"`
	AttackSite  string           `json:"attack_site,omitempty"`
	AttackFirst time.Time        `json:"attack_first,omitzero"` // first and last of its
	AttackLast  time.Time        `json:"attack_last,omitzero"`  // requests, as sent
}

// Write runs the story and writes its log and the truth beside it.
func Write(c Config, out Output) (Summary, error) {
	if err := out.validate(&c); err != nil {
		return Summary{}, err
	}
	w := &writer{
		out: out, config: &c, log: bufio.NewWriterSize(out.Log, 1<<18),
		summary: Summary{Kinds: map[Kind]int64{}, Sites: map[string]int64{}, Statuses: map[int]int64{}},
	}
	if out.Truth != nil {
		w.truth = bufio.NewWriterSize(out.Truth, 1<<18)
		w.truth.WriteString(TruthHeader + "\n") // an error stays and comes with Flush
	}
	if err := Run(c, w.write); err != nil {
		return w.summary, err
	}
	if err := w.log.Flush(); err != nil {
		return w.summary, fmt.Errorf("simulate: writing the log: %w", err)
	}
	if w.truth != nil {
		if err := w.truth.Flush(); err != nil {
			return w.summary, fmt.Errorf("simulate: writing the truth: %w", err)
		}
	}
	return w.summary, nil
}

func (o *Output) validate(c *Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if o.Format == "" {
		o.Format = FormatJSON
	}
	if _, err := ParseFormat(string(o.Format)); err != nil {
		return err
	}
	if o.Site == "" {
		if o.Format == FormatCombined && len(c.Sites) > 1 {
			return fmt.Errorf("simulate: a combined log does not name the site; say which of the %d", len(c.Sites))
		}
		return nil
	}
	for i := range c.Sites {
		if c.Sites[i].Name == o.Site {
			return nil
		}
	}
	return fmt.Errorf("simulate: no site %q in the estate", o.Site)
}

type writer struct {
	out     Output
	config  *Config
	log     *bufio.Writer
	truth   *bufio.Writer
	line    []byte
	summary Summary
}

func (w *writer) write(r *Record) error {
	if w.out.Site != "" && r.Site != w.out.Site {
		return nil
	}
	w.count(r)
	w.line = w.out.Format.Append(w.line[:0], r)
	w.summary.Bytes += int64(len(w.line))
	if _, err := w.log.Write(w.line); err != nil {
		return fmt.Errorf("simulate: writing the log: %w", err)
	}
	if w.truth == nil {
		return nil
	}
	w.line = appendTruth(w.line[:0], w.summary.Lines, r)
	if _, err := w.truth.Write(w.line); err != nil {
		return fmt.Errorf("simulate: writing the truth: %w", err)
	}
	return nil
}

func (w *writer) count(r *Record) {
	s := &w.summary
	s.Lines++
	s.Kinds[r.Actor.Kind]++
	s.Sites[r.Site]++
	s.Statuses[r.Status]++
	if s.First.IsZero() {
		s.First = r.Time
	}
	s.Last = r.Time
	if r.Attack() {
		s.AttackSite = r.Site
		if s.AttackFirst.IsZero() || r.Sent.Before(s.AttackFirst) {
			s.AttackFirst = r.Sent
		}
		if r.Sent.After(s.AttackLast) {
			s.AttackLast = r.Sent
		}
	}
	if w.out.Progress != nil && s.Lines%4096 == 0 {
		w.out.Progress(min(1, max(0, r.Time.Sub(w.config.Start).Seconds()/w.config.End().Seconds())))
	}
}

func appendTruth(dst []byte, line int64, r *Record) []byte {
	bit := func(b bool) {
		if b {
			dst = append(dst, '\t', '1')
		} else {
			dst = append(dst, '\t', '0')
		}
	}
	dst = strconv.AppendInt(dst, line, 10)
	for _, s := range [...]string{r.Site, string(r.Actor.Kind), r.Actor.ID} {
		dst = append(append(dst, '\t'), s...)
	}
	dst = schemas.ClientOf(r.Client).AppendTo(append(dst, '\t'))
	bit(r.Attack())
	bit(r.WouldSucceed())
	dst = appendTime(append(dst, '\t'), r.Sent)
	return append(dst, '\n')
}
