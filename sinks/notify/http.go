package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	sendTimeout = 30 * time.Second
	maxAnswer   = 64 << 10 // bytes of an answer that are read
	maxAfter    = 10 * time.Minute
	userAgent   = "weir"
)

// newClient is for one channel. It follows no redirect: a secret goes to the host that
// was configured, and nowhere else.
func newClient(ca string) (*http.Client, error) {
	authorities, err := pool(ca)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: sendTimeout,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities},
			TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 1,
			ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// pool is the system's authorities and those of a PEM file; nil is the system's alone.
func pool(ca string) (*x509.CertPool, error) {
	if ca == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	authorities, err := x509.SystemCertPool()
	if err != nil {
		authorities = x509.NewCertPool()
	}
	if !authorities.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca: %s holds no certificate in PEM form", ca)
	}
	return authorities, nil
}

// webURL is an http or https URL with its host; fallback where it is empty.
func webURL(text, fallback string) (*url.URL, error) {
	if text == "" {
		text = fallback
	}
	if text == "" {
		return nil, errors.New("url: want an https:// address")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("url: want an https:// address") // not the text: it may be a secret
	}
	return u, nil
}

// exchange sends JSON and reads JSON. answer may be nil.
type exchange struct {
	client *http.Client
	method string // empty is POST
	url    string
	header http.Header
	body   any // []byte as it is, all else as JSON
	answer any
}

// do returns a refusal where the status is none of 2xx.
func (x exchange) do(ctx context.Context) error {
	body, ok := x.body.([]byte)
	if !ok && x.body != nil {
		var err error
		if body, err = encodeJSON(x.body); err != nil {
			return err
		}
	}
	if x.method == "" {
		x.method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, x.method, x.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the request could not be made: is the url well formed?")
	}
	for name, values := range x.header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", userAgent)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := x.client.Do(request)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL
		}
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode/100 != 2 {
		return refused(response, text)
	}
	if err != nil {
		return fmt.Errorf("the answer was cut off: %w", err)
	}
	if x.answer != nil {
		if err := json.Unmarshal(text, x.answer); err != nil {
			return errors.New("the answer is no JSON: is the url right?")
		}
	}
	return nil
}

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

func refused(response *http.Response, text []byte) error {
	r := &refusal{status: response.StatusCode, text: cut(strings.TrimSpace(string(text)), 200)}
	if r.text == "" {
		r.text = http.StatusText(response.StatusCode)
	}
	after := response.Header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(after, 64); err == nil && seconds > 0 {
		r.after = min(time.Duration(seconds*float64(time.Second)), maxAfter)
	} else if at, err := http.ParseTime(after); err == nil {
		r.after = min(max(time.Until(at), 0), maxAfter)
	}
	return r
}

func bearer(token string) http.Header {
	return http.Header{"Authorization": []string{"Bearer " + token}}
}
