package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/weir-project/weir/sinks/statuspage"
)

type statusCommand struct {
	List    statusListCommand    `cmd:"" default:"withargs" help:"The posts: drafts, public ones, and what is due."`
	Show    statusShowCommand    `cmd:"" help:"A post word for word, and who did what to it."`
	Draft   statusDraftCommand   `cmd:"" help:"Make a draft, or change the words of one."`
	Publish statusPublishCommand `cmd:"" help:"Let the public read a draft, or what is said here."`
	Update  statusUpdateCommand  `cmd:"" help:"Say more on a public post."`
	Resolve statusResolveCommand `cmd:"" help:"Say that it is over."`
	Discard statusDiscardCommand `cmd:"" help:"Let go of a draft."`
}

// statusWords are the flags of what is said.
type statusWords struct {
	dataFlag
	Title    string        `placeholder:"TEXT" help:"The title, instead of that of the draft."`
	Text     string        `placeholder:"TEXT" help:"The words, instead of those of the draft; - reads them from standard input."`
	In       string        `placeholder:"LANGUAGE" help:"The language of --title and --text; by default they stand on the pages of all."`
	Template string        `placeholder:"NAME" help:"Take the words of a template: investigating, restored, maintenance, or your own."`
	Stage    string        `default:"" enum:",investigating,identified,monitoring" help:"How far it is: investigating, identified or monitoring."`
	Impact   string        `default:"" enum:",none,minor,major,critical" help:"How bad: none, minor, major or critical."`
	Next     time.Duration `help:"Promise the next update within that time; negative is no promise. By default the configuration's."`
	Anyway   bool          `help:"Let words pass that look like an address or a detail of the defence."`
	Output   string        `default:"text" enum:"text,json" help:"text or json."`
}

// statusMatter are the flags of what it is about.
type statusMatter struct {
	Component []string  `placeholder:"NAME" help:"What is affected, by its name on the page or its site. May be repeated."`
	Since     time.Time `format:"2006-01-02T15:04Z07:00" placeholder:"TIME" help:"Since when: 2026-11-28T05:08Z. By default now."`
	From      time.Time `format:"2006-01-02T15:04Z07:00" placeholder:"TIME" help:"A planned maintenance begins."`
	Until     time.Time `format:"2006-01-02T15:04Z07:00" placeholder:"TIME" help:"And ends."`
}

type statusDraftCommand struct {
	Post string `arg:"" optional:"" help:"A draft to change; without it a new one."`
	statusWords
	statusMatter
}

type statusPublishCommand struct {
	Post string `arg:"" optional:"" help:"The draft; may be left out where there is one alone, or with --component."`
	statusWords
	statusMatter
}

type statusUpdateCommand struct {
	Post string `arg:"" help:"The public post."`
	statusWords
	Component []string `placeholder:"NAME" help:"What is affected as well."`
}

type statusResolveCommand struct {
	Post string `arg:"" help:"The public post."`
	statusWords
}

type statusDiscardCommand struct {
	Post string `arg:"" help:"The draft."`
	dataFlag
}

func (c *statusDraftCommand) Run(ctx context.Context, s screen, p *program) error {
	return c.act(ctx, s, p, c.statusMatter.action("draft", c.Post))
}

func (c *statusPublishCommand) Run(ctx context.Context, s screen, p *program) error {
	return c.act(ctx, s, p, c.statusMatter.action("publish", c.Post))
}

func (c *statusUpdateCommand) Run(ctx context.Context, s screen, p *program) error {
	return c.act(ctx, s, p, statuspage.Action{Do: "update", Post: c.Post, Components: c.Component})
}

func (c *statusResolveCommand) Run(ctx context.Context, s screen, p *program) error {
	return c.act(ctx, s, p, statuspage.Action{Do: "resolve", Post: c.Post})
}

func (c *statusDiscardCommand) Run(ctx context.Context, s screen, p *program) error {
	w := statusWords{dataFlag: c.dataFlag, Output: "text"}
	return w.act(ctx, s, p, statuspage.Action{Do: "discard", Post: c.Post})
}

func (m *statusMatter) action(do, post string) statuspage.Action {
	return statuspage.Action{Do: do, Post: post, Components: m.Component, Since: m.Since, From: m.From, Until: m.Until}
}

// act asks weir run to do it, and shows what came of it.
func (w *statusWords) act(ctx context.Context, s screen, p *program, a statuspage.Action) error {
	data, err := w.directory(p)
	if err != nil {
		return err
	}
	a.Title, a.Text, a.Language, a.Template = w.Title, w.Text, w.In, w.Template
	a.Stage, a.Impact, a.Next, a.Anyway = statuspage.Stage(w.Stage), statuspage.Impact(w.Impact), w.Next, w.Anyway
	if a.Text == "-" {
		text, err := io.ReadAll(io.LimitReader(s.in, statuspage.MaxText+1))
		if err != nil {
			return err
		}
		a.Text = strings.TrimSpace(string(text))
	}
	body, err := json.Marshal(statusRequest{Action: a, For: os.Getenv("SUDO_USER")})
	if err != nil {
		return err
	}
	answer, err := newControlClient(data).do(ctx, http.MethodPost, "/api/status", body)
	if err != nil {
		return err
	}
	if w.Output == "json" {
		_, err = s.out.Write(answer)
		return err
	}
	var post statuspage.Post
	if err := json.Unmarshal(answer, &post); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s is %s, version %d.\n", post.ID, standing(&post), post.Version)
	if n := len(post.Updates); n > 0 && post.Standing != statuspage.Discarded {
		fmt.Fprintln(s.out)
		printWords(s.out, post.Title, post.Updates[n-1].Text)
		if due := post.Due(); !due.IsZero() {
			fmt.Fprintf(s.out, "\nPromised: the next update by %s.\n", due.UTC().Format(time.DateTime+" UTC"))
		}
	}
	return nil
}

func standing(p *statuspage.Post) string {
	if p.Standing == statuspage.Public && !p.Resolved.IsZero() {
		return "public, over"
	}
	return string(p.Standing)
}

// printWords shows a title and a text in each language that they are in.
func printWords(w io.Writer, title, text statuspage.Words) {
	for _, language := range title.With(text) {
		label := language
		if label == "" {
			label = "all"
		}
		fmt.Fprintf(w, "[%s] %s\n", label, printable(title.In(language, ""), 200))
		for _, line := range strings.Split(text.In(language, ""), "\n") {
			fmt.Fprintf(w, "     %s\n", printable(line, 2000))
		}
	}
}

type statusListCommand struct {
	dataFlag
	All    bool   `help:"Also what is over or discarded."`
	Output string `default:"text" enum:"text,json" help:"text or json."`
}

func (c *statusListCommand) Run(ctx context.Context, s screen, p *program) error {
	posts, raw, err := listPosts(ctx, &c.dataFlag, p)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		_, err := s.out.Write(raw)
		return err
	}
	shown := 0
	for i := range posts {
		post := &posts[i]
		if !c.All && (post.Standing == statuspage.Discarded || !post.Resolved.IsZero()) {
			continue
		}
		if shown == 0 {
			fmt.Fprintf(s.out, "%-18s %-13s %-14s %-17s %-18s %s\n", "post", "standing", "stage", "since (UTC)", "next update (UTC)", "affected: title")
		}
		shown++
		due := ""
		if !post.NextDue.IsZero() {
			due = post.NextDue.UTC().Format("2006-01-02 15:04")
			if post.NextDue.Before(time.Now()) {
				due += "!"
			}
		}
		fmt.Fprintf(s.out, "%-18s %-13s %-14s %-17s %-18s %s: %s\n", post.ID, standing(&post.Post), post.Stage, post.Began.UTC().Format("2006-01-02 15:04"),
			due, printable(strings.Join(post.Names, ", "), 40), printable(post.Heading(), 60))
	}
	if shown == 0 {
		fmt.Fprintln(s.out, "No draft, and nothing public that is not over.")
	}
	return nil
}

func listPosts(ctx context.Context, d *dataFlag, p *program) (posts []statuspage.Listed, raw []byte, err error) {
	data, err := d.directory(p)
	if err != nil {
		return nil, nil, err
	}
	raw, err = newControlClient(data).do(ctx, http.MethodGet, "/api/status", nil)
	if err != nil {
		return nil, nil, err
	}
	return posts, raw, json.Unmarshal(raw, &posts)
}

type statusShowCommand struct {
	Post string `arg:"" help:"Its id, as weir status list shows it."`
	dataFlag
}

func (c *statusShowCommand) Run(ctx context.Context, s screen, p *program) error {
	posts, _, err := listPosts(ctx, &c.dataFlag, p)
	if err != nil {
		return err
	}
	for i := range posts {
		if posts[i].ID == c.Post {
			showPost(s.out, &posts[i])
			return nil
		}
	}
	return fmt.Errorf("there is no post %s; weir status list --all shows them", printable(c.Post, 60))
}

func showPost(w io.Writer, post *statuspage.Listed) {
	fmt.Fprintf(w, "%s: %s, version %d, impact %s\n", post.ID, standing(&post.Post), post.Version, post.Impact)
	fmt.Fprintf(w, "Affected  %s\n", printable(strings.Join(post.Names, ", "), 300))
	fmt.Fprintf(w, "Since     %s\n", post.Began.UTC().Format(time.DateTime+" UTC"))
	if len(post.Incidents) > 0 {
		fmt.Fprintf(w, "Incidents %s (not public)\n", printable(strings.Join(post.Incidents, ", "), 300))
	}
	if post.Standing == statuspage.Draft {
		fmt.Fprintln(w, "\nWould be published as:")
		printWords(w, post.NewTitle, post.NewText)
	}
	for i, u := range post.Updates {
		if post.Standing == statuspage.Draft {
			break
		}
		fmt.Fprintf(w, "\n%s  %s\n", u.Time.UTC().Format(time.DateTime+" UTC"), u.Stage)
		title := statuspage.Words{}
		if i == 0 {
			title = post.Title
		}
		printWords(w, title, u.Text)
	}
	fmt.Fprintln(w, "\nWho did what:")
	for _, e := range post.Audit {
		fmt.Fprintf(w, "  %s  version %-3d %-8s %s\n", e.Time.UTC().Format(time.DateTime+" UTC"), e.Version, e.Do, printable(e.By, 60))
	}
}
