package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/weir-project/weir/internal/top"
)

type topCommand struct {
	Data   string        `placeholder:"DIR" help:"Of the weir run to look at, by its control socket; by default that of the configuration."`
	HTTP   string        `placeholder:"ADDRESS" help:"Look at the weir run that listens there instead."`
	Every  time.Duration `default:"1s" help:"How often to look."`
	Once   bool          `help:"Print the screen once, without colour, and end."`
	Output string        `default:"text" enum:"text,json" help:"text, or json: one look as the API answers it."`
}

// Help says what stands where.
func (c *topCommand) Help() string {
	return "Sites with an open incident stand first, then the others, each by their requests. The arrows choose one; enter shows its signals, w its windows."
}

// Run shows a running weir until q is pressed.
func (c *topCommand) Run(ctx context.Context, s screen, p *program) error {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	if c.Data == "" {
		c.Data = configuration.Data
	}
	if c.Every < 100*time.Millisecond || c.Every > time.Hour {
		return usagef("--every is %s, want 100ms to 1h", c.Every)
	}
	source := c.source()
	if c.Once || c.Output == "json" {
		return c.once(ctx, s.out, &source)
	}
	out, isFile := s.out.(*os.File)
	in, inFile := s.in.(*os.File)
	if !isFile || !inFile || !term.IsTerminal(int(out.Fd())) || !term.IsTerminal(int(in.Fd())) {
		return usagef("weir top needs a terminal; for a script: weir top --once, or weir top --output json")
	}
	if _, err := source.overview(ctx); err != nil { // better said before the screen is taken
		return err
	}
	_, plain := os.LookupEnv("NO_COLOR")
	return top.Run(ctx, top.Options{
		Address: source.address, Every: c.Every, Colour: !plain, Fetch: source.overview, Windows: source.windows, In: in, Out: out,
	})
}

// lookAt is where looks come from.
type lookAt struct {
	address string // what to call it
	// get asks for a path of the API.
	get func(ctx context.Context, path string) ([]byte, error)
}

func (l *lookAt) overview(ctx context.Context) (o top.Overview, err error) {
	body, err := l.get(ctx, "/api/overview")
	if err != nil {
		return o, err
	}
	return o, json.Unmarshal(body, &o)
}

func (l *lookAt) windows(ctx context.Context, site string) (*top.Windows, error) {
	body, err := l.get(ctx, "/api/sites/"+url.PathEscape(site)+"/windows")
	if err != nil {
		return nil, err
	}
	w := new(top.Windows)
	return w, json.Unmarshal(body, w)
}

func (c *topCommand) source() lookAt {
	if c.HTTP == "" {
		control := newControlClient(c.Data)
		return lookAt{c.Data, func(ctx context.Context, path string) ([]byte, error) {
			return control.do(ctx, http.MethodGet, path, nil)
		}}
	}
	client := http.Client{Timeout: 15 * time.Second}
	return lookAt{c.HTTP, func(ctx context.Context, path string) ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.HTTP+path, nil)
		if err != nil {
			return nil, usagef("--http %s is no address: %w", printable(c.HTTP, 100), err)
		}
		answer, err := client.Do(request)
		if err != nil {
			return nil, fmt.Errorf("weir at %s does not answer: %w; is weir run running there?", c.HTTP, unwrapNet(err))
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("weir at %s answered %s", c.HTTP, answer.Status)
		}
		return io.ReadAll(io.LimitReader(answer.Body, maxOverview))
	}}
}

// maxOverview bounds what is read of an answer, in bytes.
const maxOverview = 16 << 20

// once prints one look; its screen is as wide as COLUMNS and as high as LINES say, 80 and
// 24 without them.
func (c *topCommand) once(ctx context.Context, w io.Writer, source *lookAt) error {
	o, err := source.overview(ctx)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return json.NewEncoder(w).Encode(o)
	}
	v := top.View{Width: 80, Height: 24, Address: source.address, Selected: -1}
	for name, size := range map[string]*int{"COLUMNS": &v.Width, "LINES": &v.Height} {
		if n := 0; os.Getenv(name) != "" {
			if _, err := fmt.Sscan(os.Getenv(name), &n); err == nil && n > 0 && n <= 1000 {
				*size = n
			}
		}
	}
	_, err = fmt.Fprintln(w, top.Render(&o, v))
	return err
}
