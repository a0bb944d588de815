package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/weir-project/weir/sinks/clickhouse"
)

type sqlCommand struct {
	dataFlag
	Query      string `arg:"" optional:"" help:"One query; '@name' is one of the cookbook's, '@' lists those. Without it, queries are read from the terminal or standard input, each ended by ';' at the end of a line."`
	ClickHouse string `name:"clickhouse" placeholder:"DSN" help:"Ask this ClickHouse instead."`
	Format     string `placeholder:"NAME" help:"One of ClickHouse's output formats: TSV, JSON, PrettyCompact, ... By default PrettyCompact in a terminal, else TSV."`
	Write      bool   `help:"Allow statements that change something."`
	Incident   string `placeholder:"ID" help:"What a query of the cookbook is about: an id that weir incidents shows, or latest."`
	Other      string `placeholder:"ID" help:"The earlier incident that it compares with; the last before on the same sites."`
	Client     string `placeholder:"ADDRESS" help:"The client that it is about."`
	Print      bool   `help:"Print a query of the cookbook, filled in, and ask nothing."`
}

// Run answers SQL on the embedded ClickHouse, whether or not weir run has it open,
// or on another.
func (c *sqlCommand) Run(ctx context.Context, s screen, p *program) error {
	if strings.TrimSpace(c.Query) == "@" {
		return listCookbook(s.out)
	}
	about, err := c.subject()
	if err != nil {
		return err
	}
	db, end, err := c.open(ctx, p)
	if err != nil {
		return err
	}
	asking := &asking{db: db, about: about, print: c.Print, out: s.out}
	options := clickhouse.QueryOptions{Format: c.Format, Write: c.Write}
	if options.Format == "" && isTerminal(s.out) {
		options.Format = "PrettyCompact"
	}
	if c.Query != "" {
		err = asking.ask(ctx, c.Query, options)
	} else {
		err = c.session(ctx, s, asking, options)
	}
	return errors.Join(err, end())
}

func (c *sqlCommand) open(ctx context.Context, p *program) (*clickhouse.DB, func() error, error) {
	dsn, data := c.ClickHouse, c.Data
	if dsn == "" && data == "" {
		configuration, err := p.configuration()
		if err != nil {
			return nil, nil, err
		}
		dsn, data = configuration.ClickHouse.DSN, configuration.Data
	}
	if dsn == "" {
		return openData(ctx, data, false, nil)
	}
	db, err := clickhouse.Open(ctx, clickhouse.Options{DSN: dsn})
	if err != nil {
		return nil, nil, err
	}
	return db, db.Close, nil
}

var formatClause = regexp.MustCompile(`(?is)^(.*\S)\s+FORMAT\s+([A-Za-z][A-Za-z0-9]*)\s*;?\s*$`)

// asking is how queries are answered.
type asking struct {
	db    *clickhouse.DB
	about clickhouse.Subject
	print bool
	out   io.Writer
}

// ask answers one query, or one of the cookbook's; a FORMAT clause at its end, as
// ClickHouse's own client takes it, counts before --format.
func (a *asking) ask(ctx context.Context, query string, o clickhouse.QueryOptions) (err error) {
	if m := formatClause.FindStringSubmatch(query); m != nil {
		query, o.Format = m[1], m[2]
	}
	if name, ok := recipeName(query); ok {
		if name == "" {
			return listCookbook(a.out)
		}
		if query, err = a.db.Recipe(ctx, name, a.about); err != nil {
			return err
		}
		if a.print {
			_, err := fmt.Fprintln(a.out, query+";")
			return err
		}
		if o.Format == "" {
			o.Format = "TSVWithNames"
		}
	}
	if !isTerminal(a.out) {
		return a.db.Query(ctx, query, o, a.out)
	}
	o.Settings = map[string]any{"output_format_pretty_color": 0}
	return paged(ctx, a.out, func(w io.Writer) error { return a.db.Query(ctx, query, o, plainTerminal{w}) })
}

// plainTerminal keeps what strangers chose from steering the terminal: control
// characters but newline and tab become '?'.
type plainTerminal struct{ w io.Writer }

func (p plainTerminal) Write(text []byte) (int, error) {
	plain := slices.Clone(text)
	for i, c := range plain {
		c1 := c >= 0x80 && c < 0xA0 && i > 0 && plain[i-1] == 0xC2 // U+0080 to U+009F
		if c < 0x20 && c != '\n' && c != '\t' || c == 0x7F || c1 {
			plain[i] = '?'
			if c1 {
				plain[i-1] = '?'
			}
		}
	}
	return p.w.Write(plain)
}

// session answers query after query. In a terminal an error is shown and the
// session goes on, and Ctrl-C cancels the query; from a pipe it ends with the first
// error.
func (c *sqlCommand) session(ctx context.Context, s screen, a *asking, options clickhouse.QueryOptions) error {
	in, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return eachStatement(bufio.NewReader(s.in), func(query string) error {
			return a.ask(ctx, query, options)
		})
	}
	state, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return err
	}
	defer term.Restore(int(in.Fd()), state)
	// Ctrl-C cancels a query and not the session, which ends with Ctrl-D; a request to
	// stop ends it at once.
	ctx = context.WithoutCancel(ctx)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(stop)
	go func() {
		if _, ok := <-stop; ok {
			_ = term.Restore(int(in.Fd()), state)
			os.Exit(exitFailed)
		}
	}()
	defer close(stop)
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, s.out}, "weir> ")
	if width, height, err := term.GetSize(int(in.Fd())); err == nil && width > 0 && height > 0 {
		_ = t.SetSize(width, height) // only the line's wrapping is lost
	}
	t.History = openHistory(filepath.Join(c.historyDir(), "history"))
	fmt.Fprintln(t, "Tables: requests, requests_readable, traffic_1m, signals, incidents, decisions. '@;' lists the cookbook. A query ends with ';'. Ctrl-D leaves.")
	for {
		query, err := readStatement(t)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if word := strings.ToLower(strings.TrimRight(strings.TrimSpace(query), "; ")); word == "exit" || word == "quit" {
			return nil
		}
		if err := inTerminal(ctx, in, state, func(ctx context.Context) error { return a.ask(ctx, query, options) }); err != nil {
			fmt.Fprintln(t, printable(err.Error(), 2000))
		}
	}
}

// inTerminal runs f with the terminal as it was, so that Ctrl-C is a signal and
// cancels f alone.
func inTerminal(ctx context.Context, in *os.File, state *term.State, f func(context.Context) error) error {
	if err := term.Restore(int(in.Fd()), state); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	err := f(ctx)
	stop()
	_, rawErr := term.MakeRaw(int(in.Fd()))
	return errors.Join(err, rawErr)
}

// readStatement reads lines up to one that ends with ';'.
func readStatement(t *term.Terminal) (string, error) {
	var lines []string
	defer t.SetPrompt("weir> ")
	for {
		line, err := t.ReadLine()
		if err != nil {
			return "", err
		}
		word := strings.ToLower(strings.TrimSpace(line))
		if lines = append(lines, line); strings.HasSuffix(word, ";") || len(lines) == 1 && (word == "exit" || word == "quit") {
			return strings.Join(lines, "\n"), nil
		}
		if strings.TrimSpace(strings.Join(lines, "")) == "" {
			lines = nil
			continue
		}
		t.SetPrompt("   -> ")
	}
}

// maxStatement bounds one statement from a pipe, in bytes.
const maxStatement = 1 << 20

// eachStatement hands over the statements of a text: they end at a ';' that ends a
// line, and at the end of the text.
func eachStatement(in *bufio.Reader, each func(string) error) error {
	var statement strings.Builder
	for {
		line, err := in.ReadString('\n')
		if statement.WriteString(line); statement.Len() > maxStatement {
			return fmt.Errorf("a statement of over %d bytes", maxStatement)
		}
		ends := strings.HasSuffix(strings.TrimSpace(line), ";") || err != nil
		if text := strings.TrimSpace(statement.String()); ends && text != "" {
			if err := each(text); err != nil {
				return err
			}
			statement.Reset()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
