package replay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

type kind uint8

const (
	picture kind = iota
	video
)

// item is one file.
type item struct {
	path string
	name string // as the output has it: relative to the folder that was named
	kind kind
}

func pictures() []string { return []string{".jpg", ".jpeg", ".png"} }

func videos() []string {
	return []string{".avi", ".mkv", ".mov", ".mp4", ".m4v", ".mpg", ".mpeg", ".ts", ".webm", ".y4m", ".h264", ".h265"}
}

// list finds the files, folders in the order of their names. A file that is named is taken whatever it is called; in a folder
// only those count whose name says picture or video.
func list(inputs []string) ([]item, error) {
	var items []item
	for _, input := range inputs {
		info, err := os.Stat(input)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot replay %s: there is no such file or folder", input)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot replay %s: %w", input, err)
		}
		if !info.IsDir() {
			k, ok := kindOf(input)
			if !ok {
				k = video // ffmpeg knows more than we do
			}
			items = append(items, item{input, filepath.Base(input), k})
			continue
		}
		found, err := inFolder(input)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("cannot replay %s: it has no file that is called %s", input,
				strings.Join(slices.Concat(pictures(), videos()), " "))
		}
		items = append(items, found...)
	}
	if len(items) == 0 {
		return nil, errors.New("cannot replay nothing: name a file or a folder")
	}
	return items, nil
}

func inFolder(folder string) (items []item, err error) {
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		k, ok := kindOf(path)
		if !ok || !entry.Type().IsRegular() {
			return nil
		}
		name, err := filepath.Rel(folder, path)
		items = append(items, item{path, filepath.ToSlash(name), k})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot replay %s: %w", folder, err)
	}
	return items, nil // WalkDir goes in the order of names
}

func kindOf(path string) (kind, bool) {
	ending := strings.ToLower(filepath.Ext(path))
	switch {
	case slices.Contains(pictures(), ending):
		return picture, true
	case slices.Contains(videos(), ending):
		return video, true
	}
	return 0, false
}

// spare refuses to write over an input.
func (o Options) spare(items []item) error {
	lines, video, folder := stat(o.Out), stat(o.Video), stat(o.Pictures)
	painted := map[string]bool{}
	for _, it := range items {
		painted[pictureOf(it.name)] = true
	}
	for _, it := range items {
		input, inside := stat(it.path), stat(filepath.Dir(it.path))
		base := filepath.Base(it.path)
		switch {
		case os.SameFile(input, lines):
			return fmt.Errorf("--out: %s %w file", o.Out, ErrInput)
		case os.SameFile(input, video):
			return fmt.Errorf("--video: %s %w file", o.Video, ErrInput)
		case os.SameFile(inside, folder) && painted[base[:strings.LastIndex(base, "-")+1]]:
			return fmt.Errorf("--pictures: %s %w folder", it.path, ErrInput)
		}
	}
	return nil
}

// stat gives nil, which is no other's file, for what is not there.
func stat(path string) os.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}
