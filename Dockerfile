# Sluice in a container. glibc 2.38 or newer (Debian 13) runs the fast HTTP engine; musl cannot run the native modules.
FROM node:20-trixie-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build && scripts/image.sh /image

FROM node:20-trixie-slim
LABEL org.opencontainers.image.title="sluice" \
      org.opencontainers.image.description="ONNX models over the Open Inference Protocol, HTTP and gRPC" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production \
    ORT_DISABLE_TELEMETRY=1 \
    MALLOC_ARENA_MAX=2 \
    HOME=/tmp \
    SLUICE_REGISTRY_STORE_PATH=/var/lib/sluice/store \
    SLUICE_AUDIT_PATH=/var/lib/sluice/audit
WORKDIR /sluice
COPY --from=build /image .
# The store and the audit log are what should outlive a container.
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/sluice
VOLUME /var/lib/sluice
USER 65532:65532
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=2s --start-period=30s --retries=3 \
    CMD ["node", "-e", "fetch('http://127.0.0.1:8000/v2/health/live').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/src/cli.js"]
CMD ["serve"]
