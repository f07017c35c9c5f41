// An eStargz reader that is not ours: the stargz-snapshotter's own library. It opens a layer, from a
// file or lazily over HTTP, checks its footer, its table of contents against a digest, and every chunk
// of every file against the table, and prints one JSON object a line for each entry.
//
//	estargz_reader -toc DIGEST [-only NAME] [-block BYTES] FILE|URL
//
// It ends with 1, and says why on standard error, at the first thing that is not right. Debian's
// packages golang-go and golang-github-containerd-stargz-snapshotter-dev build it, without a network:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o estargz_reader main.go
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"sort"
	"strings"

	"github.com/containerd/stargz-snapshotter/estargz"
	digest "github.com/opencontainers/go-digest"
)

type entry struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Size     int64  `json:"size"`
	Mode     int64  `json:"mode"`
	UID      int    `json:"uid"`
	GID      int    `json:"gid"`
	Modified int64  `json:"modified"`
	Link     string `json:"link,omitempty"`
	SHA256   string `json:"sha256,omitempty"`
	Chunks   int    `json:"chunks,omitempty"`
}

type layer struct {
	reader   *estargz.Reader
	verifier estargz.TOCEntryVerifier
	only     string
	output   *json.Encoder
	found    int
}

// remote reads ranges of a URL, as lazy clients do, and keeps the block it read last.
type remote struct {
	url   string
	size  int64
	block int64
	at    int64
	data  []byte
}

func openRemote(url string, block int64) (*remote, error) {
	r := &remote{url: url, block: block}
	_, field, err := r.fetch(0, 1)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Sscanf(field, "bytes 0-0/%d", &r.size); err != nil {
		return nil, fmt.Errorf("Content-Range %q: %v", field, err)
	}
	return r, nil
}

// fetch returns the bytes [from, to) and the answer's Content-Range.
func (r *remote) fetch(from, to int64) ([]byte, string, error) {
	request, err := http.NewRequest("GET", r.url, nil)
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	request.Header.Set("Accept-Encoding", "identity")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusPartialContent {
		return nil, "", fmt.Errorf("%s was asked for a range and answered %s", r.url, answer.Status)
	}
	data, err := io.ReadAll(answer.Body)
	if err == nil && int64(len(data)) != to-from {
		err = fmt.Errorf("bytes %d-%d came as %d bytes", from, to-1, len(data))
	}
	return data, answer.Header.Get("Content-Range"), err
}

func (r *remote) ReadAt(p []byte, offset int64) (int, error) {
	done := 0
	for done < len(p) {
		at := offset + int64(done)
		if at >= r.size {
			return done, io.EOF
		}
		if at < r.at || at >= r.at+int64(len(r.data)) {
			start := at - at%r.block
			end := start + r.block
			if end > r.size {
				end = r.size
			}
			data, _, err := r.fetch(start, end)
			if err != nil {
				return done, err
			}
			r.at, r.data = start, data
		}
		done += copy(p[done:], r.data[at-r.at:])
	}
	return done, nil
}

func openBlob(name string, block int64) (*io.SectionReader, error) {
	if strings.HasPrefix(name, "http://") {
		r, err := openRemote(name, block)
		if err != nil {
			return nil, err
		}
		return io.NewSectionReader(r, 0, r.size), nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(file, 0, info.Size()), nil
}

func openLayer(blob *io.SectionReader, toc string) (*layer, error) {
	offset, size, err := estargz.OpenFooter(blob)
	if err != nil {
		return nil, fmt.Errorf("the footer: %v", err)
	}
	if size != estargz.FooterSize || offset <= 0 || offset >= blob.Size()-size {
		return nil, fmt.Errorf("the footer has %d bytes and says %d", size, offset)
	}
	reader, err := estargz.Open(blob)
	if err != nil {
		return nil, err
	}
	want, err := digest.Parse(toc)
	if err != nil {
		return nil, fmt.Errorf("-toc %q: %v", toc, err)
	}
	verifier, err := reader.VerifyTOC(want)
	if err != nil {
		return nil, err
	}
	return &layer{reader: reader, verifier: verifier}, nil
}

// checkFile verifies every chunk and the whole, and returns the whole's digest and the count of chunks.
func (l *layer) checkFile(name string, file *estargz.TOCEntry) (string, int, error) {
	whole, chunks := sha256.New(), 0
	payload, err := l.reader.OpenFile(name)
	if err != nil {
		return "", 0, err
	}
	for done := int64(0); done < file.Size; {
		chunk, ok := l.reader.ChunkEntryForOffset(name, done)
		if !ok || chunk.ChunkOffset != done || chunk.ChunkSize <= 0 {
			return "", 0, fmt.Errorf("no chunk starts at %d", done)
		}
		verifier, err := l.verifier.Verifier(chunk)
		if err != nil {
			return "", 0, err
		}
		data := make([]byte, chunk.ChunkSize)
		if _, err := payload.ReadAt(data, done); err != nil {
			return "", 0, fmt.Errorf("chunk at %d: %v", done, err)
		}
		if _, err := verifier.Write(data); err != nil || !verifier.Verified() {
			return "", 0, fmt.Errorf("chunk at %d is not what its digest says", done)
		}
		whole.Write(data)
		done += chunk.ChunkSize
		chunks++
	}
	sum := fmt.Sprintf("sha256:%x", whole.Sum(nil))
	if sum != file.Digest {
		return "", 0, fmt.Errorf("the file's digest is %s, the table says %q", sum, file.Digest)
	}
	return sum, chunks, nil
}

func (l *layer) show(name string, found *estargz.TOCEntry) error {
	line := entry{Name: name, Type: found.Type, Size: found.Size, Mode: found.Mode, UID: found.UID, GID: found.GID,
		Modified: found.ModTime().Unix(), Link: found.LinkName}
	if found.Type == "reg" {
		var err error
		if line.SHA256, line.Chunks, err = l.checkFile(name, found); err != nil {
			return fmt.Errorf("%s: %v", name, err)
		}
	}
	l.found++
	return l.output.Encode(line)
}

func (l *layer) walk(name string, folder *estargz.TOCEntry) error {
	var names []string
	folder.ForeachChild(func(base string, _ *estargz.TOCEntry) bool {
		names = append(names, base)
		return true
	})
	sort.Strings(names)
	for _, base := range names {
		child, _ := folder.LookupChild(base)
		full := path.Join(name, base)
		if l.only == "" || l.only == full {
			if err := l.show(full, child); err != nil {
				return err
			}
		}
		if child.Type == "dir" {
			if err := l.walk(full, child); err != nil {
				return err
			}
		}
	}
	return nil
}

func run() error {
	toc := flag.String("toc", "", "digest of the table of contents")
	only := flag.String("only", "", "check this file alone")
	block := flag.Int64("block", 1<<20, "bytes of a request, of a URL")
	flag.Parse()
	if flag.NArg() != 1 || *block <= 0 {
		return errors.New("usage: estargz_reader -toc DIGEST [-only NAME] [-block BYTES] FILE|URL")
	}
	blob, err := openBlob(flag.Arg(0), *block)
	if err != nil {
		return err
	}
	l, err := openLayer(blob, *toc)
	if err != nil {
		return err
	}
	output := bufio.NewWriter(os.Stdout)
	l.only, l.output = *only, json.NewEncoder(output)
	root, ok := l.reader.Lookup("")
	if !ok {
		return errors.New("there is no root")
	}
	if err := l.walk("", root); err != nil {
		return err
	}
	if *only != "" && l.found == 0 {
		return fmt.Errorf("there is no %s", *only)
	}
	return output.Flush()
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
