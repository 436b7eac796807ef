# The image for those who have Docker; "make image" writes the same programs
# into an archive without it.
#
#   docker build --build-arg VERSION=v0.1.0 --build-arg COMMIT=$(git rev-parse HEAD) -t warmpool:v0.1.0 .
#
# Programs are compiled on the machine's own platform for the one that is asked for.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
ARG TARGETARCH
ARG VERSION=unknown
ARG COMMIT=unknown
WORKDIR /source
ENV CGO_ENABLED=0 GOOS=linux GOFLAGS="-mod=readonly -buildvcs=false" GOWORK=off
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN GOARCH=$TARGETARCH go build -trimpath \
      -ldflags "-s -w -buildid= -X github.com/warmpool-dev/warmpool/internal/version.release=$VERSION -X github.com/warmpool-dev/warmpool/internal/version.commit=$COMMIT" \
      -o /programs/ ./cmd/manager ./cmd/sidecar ./cmd/vastsim \
    && go run ./hack/licenses -texts /licenses

# Nothing else: the programs are static, and bring certificates and time zones.
FROM scratch
COPY --from=build /programs/ /
COPY --from=build /licenses /licenses
ENV PATH=/
USER 65532:65532
ENTRYPOINT ["/manager"]
