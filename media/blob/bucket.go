package blob

// Blobs as objects of a bucket. Entry point: newBucket.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Bucket stores blobs as objects of a bucket. It doesn't create the bucket.
type Bucket struct {
	client *minio.Core
	bucket string
	prefix string // "" or with a slash at its end
}

// defaultEndpoint is Amazon's for all of its regions.
const defaultEndpoint = "s3.amazonaws.com"

// forever tells a CDN before the bucket that blobs never change.
const forever = "public, max-age=31536000, immutable"

// newBucket reads s3://BUCKET/PREFIX?endpoint=HOST:PORT&region=REGION&tls=off. Credentials come
// from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), from
// ~/.aws/credentials, or from the role of the machine.
func newBucket(u *url.URL) (*Bucket, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("the options after the question mark can't be read")
	}
	for name := range query {
		if !slices.Contains([]string{"endpoint", "region", "tls"}, name) {
			return nil, fmt.Errorf("%.40q isn't known: there are endpoint, region and tls", name)
		}
	}
	if u.User != nil {
		return nil, errors.New("the keys belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	if tls := query.Get("tls"); tls != "" && tls != "on" && tls != "off" {
		return nil, errors.New("tls is on or off")
	}
	if u.Host == "" || strings.Contains(u.Host, ":") {
		return nil, errors.New("a bucket is written s3://BUCKET, and its server goes into ?endpoint=")
	}
	endpoint := query.Get("endpoint")
	if endpoint == "" {
		endpoint = defaultEndpoint
	}
	client, err := minio.NewCore(endpoint, &minio.Options{
		Creds: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
		}),
		Secure: query.Get("tls") != "off",
		Region: query.Get("region"),
		// The last of the default ten retries would come after the request has ended.
		MaxRetries: 3,
	})
	if err != nil {
		return nil, err
	}
	prefix := strings.Trim(u.Path, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &Bucket{client: client, bucket: u.Host, prefix: prefix}, nil
}

// Put writes an object. S3 shows it only when it is complete.
func (b *Bucket) Put(ctx context.Context, name, contentType string, content []byte) error {
	err := checkName(name)
	if err == nil {
		_, err = b.client.Client.PutObject(ctx, b.bucket, b.prefix+name, bytes.NewReader(content), int64(len(content)),
			minio.PutObjectOptions{ContentType: contentType, CacheControl: forever})
	}
	if err != nil {
		return fmt.Errorf("keep %s in the bucket: %w", name, err)
	}
	return nil
}

// Open requests an object.
func (b *Bucket) Open(ctx context.Context, name string) (*Blob, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	content, info, _, err := b.client.GetObject(ctx, b.bucket, b.prefix+name, minio.GetObjectOptions{})
	if missing(err) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open %s in the bucket: %w", name, err)
	}
	return &Blob{content, info.Size, info.LastModified}, nil
}

// Has asks whether an object exists.
func (b *Bucket) Has(ctx context.Context, name string) (bool, error) {
	if err := checkName(name); err != nil {
		return false, err
	}
	_, err := b.client.StatObject(ctx, b.bucket, b.prefix+name, minio.StatObjectOptions{})
	if missing(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s in the bucket: %w", name, err)
	}
	return true, nil
}

func missing(err error) bool { return err != nil && minio.ToErrorResponse(err).Code == minio.NoSuchKey }
