package statuspage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3 is a bucket of an S3-compatible server, which publishes it as a website.
type S3 struct {
	Endpoint  string // https://s3.example.net; http on loopback alone
	Region    string
	Bucket    string
	Prefix    string // of the names in the bucket, "" is none
	AccessKey string
	SecretKey string

	sums map[string][sha256.Size]byte // of what is there, by name
}

// Name is the bucket's.
func (s *S3) Name() string { return "s3:" + s.Bucket }

// Put uploads what has changed.
func (s *S3) Put(ctx context.Context, files []File, _ bool) error {
	u, err := url.Parse(s.Endpoint)
	if err != nil || u.Host == "" {
		return errors.New("s3: the endpoint is no URL")
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Secure: u.Scheme == "https", Region: s.Region,
		BucketLookup: minio.BucketLookupPath, MaxRetries: 1, // the caller tries again
	})
	if err != nil {
		return fmt.Errorf("s3: %w", err)
	}
	if s.sums == nil {
		s.sums = make(map[string][sha256.Size]byte)
	}
	for _, f := range files {
		sum := sha256.Sum256(f.Body)
		if s.sums[f.Name] == sum {
			continue
		}
		delete(s.sums, f.Name) // what is there if this fails is not known
		_, err := client.PutObject(ctx, s.Bucket, path.Join(s.Prefix, f.Name), bytes.NewReader(f.Body), int64(len(f.Body)), minio.PutObjectOptions{
			ContentType: f.Type, CacheControl: "public, max-age=30",
			// One plain request with an MD5, which every S3-compatible server understands.
			SendContentMd5: true, DisableContentSha256: true, DisableMultipart: true,
		})
		if err != nil {
			return fmt.Errorf("s3: bucket %s: %s: %w", s.Bucket, f.Name, plainS3(err))
		}
		s.sums[f.Name] = sum
	}
	return nil
}

// plainS3 is an error without the server's own long text.
func plainS3(err error) error {
	var response minio.ErrorResponse
	if errors.As(err, &response) && response.Code != "" {
		return fmt.Errorf("%s (%d %s)", strings.ToValidUTF8(response.Code, ""), response.StatusCode, http.StatusText(response.StatusCode))
	}
	return err
}
