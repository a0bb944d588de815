package notify

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
)

// maxSecret bounds a file that holds a secret, in bytes.
const maxSecret = 64 << 10

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// resolve is a value with its environment variables in place, or what its file holds,
// without the newline at its end. Errors name the key and never a value.
func resolve(key, value, file string) (string, error) {
	if file != "" {
		if value != "" {
			return "", fmt.Errorf("%s: stands beside %s_file: leave out one of them", key, key)
		}
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", key, err)
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", key, err)
		}
		text := strings.TrimRight(string(data), "\r\n")
		if len(data) > maxSecret || text == "" || strings.ContainsAny(text, "\r\n\x00") {
			return "", fmt.Errorf("%s_file: %s is not one line of text", key, file)
		}
		return text, nil
	}
	var missing error
	text := variable.ReplaceAllStringFunc(value, func(v string) string {
		name := v[2 : len(v)-1]
		content, ok := os.LookupEnv(name)
		if !ok || content == "" {
			missing = fmt.Errorf("%s: the environment variable %s is not set", key, name)
		}
		return content
	})
	if strings.ContainsAny(text, "\r\n\x00") {
		return "", fmt.Errorf("%s: want one line of text", key)
	}
	return text, missing
}

// secrets are what must not be seen in a log, an error or a table.
type secrets struct{ known []string }

// hidden stands in the place of a secret.
const hidden = "[secret]"

// add remembers a secret in every form in which an error may show it. Of a URL all but
// the host is one.
func (s *secrets) add(value string, isURL bool) {
	if value == "" {
		return
	}
	if !isURL {
		s.remember(value)
		return
	}
	u, err := url.Parse(value)
	if err != nil {
		s.remember(value)
		return
	}
	if u.User != nil {
		password, _ := u.User.Password()
		s.remember(password)
		if password == "" {
			s.remember(u.User.Username())
		}
	}
	s.remember(strings.Trim(u.EscapedPath(), "/"))
	s.remember(strings.Trim(u.Path, "/"))
	for _, part := range strings.Split(u.Path, "/") {
		if len(part) >= 12 {
			s.remember(part)
		}
	}
	s.remember(u.RawQuery)
	for _, values := range u.Query() {
		for _, v := range values {
			if len(v) >= 12 {
				s.remember(v)
			}
		}
	}
}

func (s *secrets) remember(value string) {
	if len(value) < 3 { // "/" and "v1" are in every text
		return
	}
	for _, form := range []string{value, url.QueryEscape(value), url.PathEscape(value)} {
		if !slices.Contains(s.known, form) {
			s.known = append(s.known, form)
		}
	}
	// The longest first: one may hold another.
	slices.SortFunc(s.known, func(a, b string) int { return len(b) - len(a) })
}

// hide replaces every secret in a text.
func (s *secrets) hide(text string) string {
	for _, k := range s.known {
		text = strings.ReplaceAll(text, k, hidden)
	}
	return text
}

// clean is an error without secrets, for a log. It keeps no chain but a refusal's.
func (s *secrets) clean(err error) error {
	if err == nil {
		return nil
	}
	text := cut(visible(s.hide(strings.ReplaceAll(err.Error(), "\n", "; ")), 600), 1200)
	var r *refusal
	if errors.As(err, &r) {
		return &cleaned{text, r}
	}
	return errors.New(text)
}

type cleaned struct {
	text    string
	refusal *refusal
}

func (c *cleaned) Error() string { return c.text }
func (c *cleaned) Unwrap() error { return c.refusal }
