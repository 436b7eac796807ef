package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Documents of SPDX 2.3, as far as this program writes them.
type (
	document struct {
		Version       string         `json:"spdxVersion"`
		License       string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      creation       `json:"creationInfo"`
		Packages      []pack         `json:"packages"`
		Relationships []relationship `json:"relationships"`
	}
	creation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	pack struct {
		Name      string      `json:"name"`
		ID        string      `json:"SPDXID"`
		Version   string      `json:"versionInfo,omitempty"`
		Download  string      `json:"downloadLocation"`
		Analyzed  bool        `json:"filesAnalyzed"`
		Concluded string      `json:"licenseConcluded"`
		Declared  string      `json:"licenseDeclared"`
		Copyright string      `json:"copyrightText"`
		Purpose   string      `json:"primaryPackagePurpose,omitempty"`
		Checksums []checksum  `json:"checksums,omitempty"`
		External  []reference `json:"externalRefs,omitempty"`
	}
	checksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	reference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	relationship struct {
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

// noAssertion is SPDX's word for what nobody says.
const noAssertion = "NOASSERTION"

// catalogue collects packages, each once.
type catalogue struct {
	document
	licences map[string]string
	known    map[string]bool
}

// writePackages writes what each program is made of, as its build information says.
func (s *settings) writePackages() error {
	licences, err := readLicences(filepath.Join(s.licenses, "licenses.tsv"))
	if err != nil {
		return err
	}
	c := catalogue{licences: licences, known: map[string]bool{}, document: document{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: s.base() + "-" + s.version,
		Creation: creation{Created: s.created.Format(time.RFC3339), Creators: []string{"Tool: warmpool-hack-image"}},
	}}
	if err := filepath.WalkDir(s.binaries, func(place string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return c.addProgram(s, place)
	}); err != nil {
		return fmt.Errorf("listing packages: %w", err)
	}
	return s.writeDocument(&c.document)
}

// writeDocument names the document after its content and writes it.
func (s *settings) writeDocument(d *document) error {
	content, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encoding the list of packages: %w", err)
	}
	sum := sha256.Sum256(content)
	d.Namespace = "https://github.com/warmpool-dev/warmpool/spdx/" + hex.EncodeToString(sum[:])
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the list of packages: %w", err)
	}
	target := filepath.Join(s.out, s.base()+".spdx.json")
	if err = os.WriteFile(target, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the list of packages: %w", err)
	}
	_, err = fmt.Fprintf(os.Stdout, "%-45s %d packages (SPDX 2.3)\n", target, len(d.Packages))
	return err
}

// addProgram adds a program and what it contains.
func (c *catalogue) addProgram(s *settings, place string) error {
	info, err := buildinfo.ReadFile(place)
	if err != nil {
		return fmt.Errorf("reading the build information of %s: %w", place, err)
	}
	content, err := os.ReadFile(filepath.Clean(place))
	if err != nil {
		return fmt.Errorf("reading %s: %w", place, err)
	}
	sum := sha256.Sum256(content)
	name := filepath.Base(filepath.Dir(place)) + "/" + filepath.Base(place)
	program := c.add(&pack{
		Name: name, Version: s.version, Concluded: "Apache-2.0", Purpose: "APPLICATION",
		Checksums: []checksum{{"SHA256", hex.EncodeToString(sum[:])}},
	})
	c.relate("SPDXRef-DOCUMENT", "DESCRIBES", program)
	library := strings.TrimPrefix(strings.Fields(info.GoVersion)[0], "go")
	c.relate(program, "CONTAINS", c.add(&pack{
		Name: "stdlib", Version: library, Concluded: c.licences["Go standard library"], External: []reference{{"PACKAGE-MANAGER", "purl", "pkg:golang/stdlib@" + library}},
	}))
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		licence, found := c.licences[module.Path]
		if !found {
			return fmt.Errorf("%s contains %s: %w", place, module.Path, errNotListed)
		}
		c.relate(program, "CONTAINS", c.add(&pack{
			Name: module.Path, Version: module.Version, Concluded: licence,
			External: []reference{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + module.Path + "@" + module.Version}},
		}))
	}
	return nil
}

// errNotListed is a module that hack/licenses did not see.
var errNotListed = errors.New("its licence is not listed; run hack/licenses -texts with the same source")

// add completes a package and returns its identifier.
func (c *catalogue) add(p *pack) string {
	p.ID = "SPDXRef-" + regexp.MustCompile(`[^A-Za-z0-9.]+`).ReplaceAllString(p.Name+"-"+p.Version, "-")
	if c.known[p.ID] {
		return p.ID
	}
	c.known[p.ID] = true
	p.Download, p.Copyright, p.Declared = noAssertion, noAssertion, p.Concluded
	c.Packages = append(c.Packages, *p)
	return p.ID
}

func (c *catalogue) relate(from, kind, to string) {
	one := relationship{from, kind, to}
	if !slices.Contains(c.Relationships, one) {
		c.Relationships = append(c.Relationships, one)
	}
}

// readLicences reads the table of hack/licenses: module, version, SPDX expression.
func readLicences(place string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Clean(place))
	if err != nil {
		return nil, fmt.Errorf("reading the licences: %w", err)
	}
	licences := map[string]string{}
	for line := range bytes.Lines(text) {
		if fields := strings.Split(strings.TrimSpace(string(line)), "\t"); len(fields) > 1 {
			licences[fields[0]] = fields[len(fields)-1]
		}
	}
	return licences, nil
}
