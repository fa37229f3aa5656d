{
  description = "prompt-backend: a prompt goes in, a branch comes out";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      inherit (lib.importJSON ./package.json) version;
      linux = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      darwin = [
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      forSystems = systems: make: lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});

      # Each package of bun.lock stands on a line of its own, as JSON: `"key": ["name@version", "", {…}, "sha512-…"],`.
      # Taking versions and hashes from there needs no hash of the whole node_modules, which would change with every update.
      # Packages for one platform only (Bun itself, Biome, native accelerators) are not needed by the build.
      lockedPackages =
        lock:
        let
          entries = lib.concatMap (
            line:
            let
              found = builtins.match ''[ ]*"([^"]+)": (\[.*"sha512-.*]),'' line;
            in
            lib.optional (found != null) {
              key = builtins.head found;
              value = builtins.fromJSON (builtins.replaceStrings [ ", ]" ", }" ] [ " ]" " }" ] (lib.last found));
            }
          ) (lib.splitString "\n" (builtins.readFile lock));
        in
        map (
          { key, value }:
          let
            nameAndVersion = builtins.match "(.+)@([^@]+)" (builtins.head value);
            name = builtins.head nameAndVersion;
            names = map builtins.head (builtins.filter builtins.isList (builtins.split "(@[^/]+/[^/]+|[^/]+)" key));
          in
          {
            # The key `a/b` is package b as a sees it: a/node_modules/b.
            path = lib.concatStringsSep "/node_modules/" names;
            package = builtins.head value;
            file = "${baseNameOf name}-${lib.last nameAndVersion}.tgz";
            hash = lib.last value;
          }
        ) (builtins.filter ({ value, ... }: !(builtins.elemAt value 2 ? os)) entries);

      # npm saves a package as the registry has it, to the byte, so the hash of bun.lock is the hash of this file.
      # npm knows where its registry is: no address has to stand here.
      packageFile =
        pkgs:
        { package, file, hash, ... }:
        pkgs.runCommand file
          {
            nativeBuildInputs = [ pkgs.nodejs ];
            NODE_EXTRA_CA_CERTS = "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt";
            impureEnvVars = lib.fetchers.proxyImpureEnvVars;
            outputHash = hash;
            outputHashMode = "flat";
          }
          ''
            export HOME="$TMPDIR"
            cd "$TMPDIR"
            npm pack --silent "${package}"
            mv *.tgz "$out"
          '';

      # As `bun install` applies them.
      patches = (builtins.fromJSON (builtins.readFile ./package.json)).patchedDependencies;

      nodeModules =
        pkgs: lock:
        pkgs.runCommand "prompt-backend-node-modules-${version}" { } (
          lib.concatMapStrings (
            locked@{ path, package, ... }:
            ''
              mkdir -p "$out/node_modules/${path}"
              tar -xzf ${packageFile pkgs locked} -C "$out/node_modules/${path}" --strip-components=1 --no-same-owner
            ''
            + lib.concatStringsSep "" (
              lib.optional (patches ? ${package}) ''
                patch -p1 -d "$out/node_modules/${path}" < ${./. + "/${patches.${package}}"}
              ''
            )
          ) (lockedPackages lock)
        );

      executable =
        pkgs:
        let
          modules = nodeModules pkgs ./bun.lock;
          sdkModules = nodeModules pkgs ./sdk/bun.lock;
        in
        pkgs.stdenv.mkDerivation {
          pname = "prompt-backend";
          inherit version;
          # What the Dockerfile copies: nothing else may change the executable.
          src = lib.fileset.toSource {
            root = ./.;
            fileset = lib.fileset.unions [
              ./package.json
              ./bunfig.toml
              ./tsconfig.json
              ./.ci
              ./drizzle
              ./sdk/package.json
              ./sdk/bun.lock
              ./sdk/generate.ts
              ./sdk/src
              ./src
            ];
          };
          nativeBuildInputs = [ pkgs.bun ];
          dontConfigure = true;
          buildPhase = ''
            export HOME=$TMPDIR
            ln -s ${modules}/node_modules node_modules
            ln -s ${sdkModules}/node_modules sdk/node_modules
            bun .ci/build.ts --outfile prompt-backend
          '';
          installPhase = "install -D -m 0755 prompt-backend $out/bin/prompt-backend";
          # The program is appended to a copy of Bun; stripping would cut it off.
          dontFixup = true;
          passthru.nodeModules = modules;
          meta.mainProgram = "prompt-backend";
        };

      # The Dockerfile's image, with the same entry point, user, environment and health check; a test compares them.
      image =
        pkgs:
        let
          passwd = pkgs.writeTextDir "etc/passwd" ''
            root:x:0:0::/root:/bin/false
            app:x:10001:10001::/home/app:/bin/false
          '';
          group = pkgs.writeTextDir "etc/group" ''
            root:x:0:
            app:x:10001:
          '';
        in
        pkgs.dockerTools.buildLayeredImage {
          name = "prompt-backend";
          tag = version;
          contents = [
            (executable pkgs)
            pkgs.bash
            pkgs.bubblewrap
            pkgs.cacert
            pkgs.coreutils
            pkgs.findutils
            pkgs.git
            pkgs.git-lfs
            pkgs.gnugrep
            pkgs.gnutar
            pkgs.socat
            pkgs.tini
            passwd
            group
          ];
          fakeRootCommands = ''
            install -d -m 1777 tmp
            install -d -m 0700 -o 10001 -g 10001 data home/app
          '';
          config = {
            User = "app";
            WorkingDir = "/data";
            Env = [
              "DATA_DIR=/data"
              "HOST=0.0.0.0"
              "PORT=8000"
              "PATH=/bin"
              "SSL_CERT_FILE=/etc/ssl/certs/ca-bundle.crt"
            ];
            Entrypoint = [
              "tini"
              "--"
              "prompt-backend"
            ];
            ExposedPorts."8000" = { };
            Volumes."/data" = { };
            StopSignal = "SIGTERM";
            Healthcheck = {
              Test = [
                "CMD"
                "bash"
                "-c"
                ''exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]''
              ];
              # Nanoseconds.
              Interval = 10000000000;
              Timeout = 3000000000;
              StartPeriod = 30000000000;
              Retries = 3;
            };
          };
        };

      app = script: {
        type = "app";
        program = lib.getExe script;
      };
    in
    {
      devShells = forSystems (linux ++ darwin) (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.bun
            pkgs.git
            pkgs.git-lfs
            pkgs.postgresql
            pkgs.redis
          ]
          ++ lib.optional pkgs.stdenv.hostPlatform.isLinux pkgs.bubblewrap
          ++ lib.optional pkgs.stdenv.hostPlatform.isLinux pkgs.socat;
        };
      });

      packages = forSystems linux (pkgs: {
        default = executable pkgs;
        docker = image pkgs;
      });

      apps = lib.recursiveUpdate (forSystems linux (pkgs: {
        # Loads the image into the engine that `docker` talks to.
        loadDockerImage = app (
          pkgs.writeShellApplication {
            name = "load-docker-image";
            text = "exec docker load --input ${image pkgs}";
          }
        );
      })) (forSystems (linux ++ darwin) (pkgs: {
        # Builds sdk/ from the OpenAPI document, in the working copy that it is started in.
        generateTypescriptClient = app (
          pkgs.writeShellApplication {
            name = "generate-typescript-client";
            runtimeInputs = [
              pkgs.bun
              pkgs.git
            ];
            text = ''
              cd "$(git rev-parse --show-toplevel)"
              sh .ci/setup
              exec bun .ci/sdk.ts
            '';
          }
        );
      }));
    };
}
