package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"
)

// Headers of weir's own webhook. The signature is "v1=" and the hexadecimal
// HMAC-SHA256, keyed by the token, of the timestamp, a full stop and the body as sent.
const (
	HeaderTimestamp = "Weir-Timestamp" // unix seconds
	HeaderSignature = "Weir-Signature"
	HeaderKey       = "Idempotency-Key" // Message.ID
)

// Sign is the value of HeaderSignature.
func Sign(key []byte, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// webhook posts the Message itself, signed.
type webhook struct {
	http *http.Client
	url  string
	key  []byte
}

func newWebhook(r *resolved) (channel, error) {
	u, err := webURL(r.URL, "")
	if err != nil {
		return nil, err
	}
	if err := r.wantToken("the key that signs, shared with the receiver"); err != nil {
		return nil, err
	}
	return &webhook{r.http, u.String(), []byte(r.Token)}, nil
}

func (w *webhook) idempotent() bool { return true }

func (w *webhook) send(ctx context.Context, m *Message, _ string) (string, error) {
	body, err := encodeJSON(m.flat())
	if err != nil {
		return "", err
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	header := http.Header{}
	header.Set(HeaderTimestamp, timestamp)
	header.Set(HeaderSignature, Sign(w.key, timestamp, body))
	header.Set(HeaderKey, m.ID)
	return "", exchange{client: w.http, url: w.url, header: header, body: body}.do(ctx)
}
