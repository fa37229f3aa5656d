# A stand-in for nixpkgs: as much of it as ../../../flake.nix uses. Its derivations can be instantiated without network
# (hashes of fetched files and every reference are checked then), but building one does nothing useful. `given` holds
# the arguments that a derivation was made with.
{
  outputs =
    { self }:
    let
      lib = rec {
        importJSON = path: builtins.fromJSON (builtins.readFile path);
        genAttrs =
          names: make:
          builtins.listToAttrs (
            map (name: {
              inherit name;
              value = make name;
            }) names
          );
        inherit (builtins) concatMap concatStringsSep;
        concatMapStrings = make: list: concatStringsSep "" (map make list);
        optional = condition: value: if condition then [ value ] else [ ];
        last = list: builtins.elemAt list (builtins.length list - 1);
        splitString = separator: text: builtins.filter builtins.isString (builtins.split separator text);
        getExe = package: "${package}/bin/${package.meta.mainProgram}";
        recursiveUpdate =
          left: right:
          left
          // builtins.mapAttrs (
            name: value:
            if left ? ${name} && builtins.isAttrs left.${name} && builtins.isAttrs value then
              recursiveUpdate left.${name} value
            else
              value
          ) right;
        fetchers.proxyImpureEnvVars = [
          "https_proxy"
          "no_proxy"
        ];
        hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
        fileset = {
          unions = paths: paths;
          toSource =
            { root, fileset }:
            builtins.path {
              name = "source";
              path = root;
              filter =
                path: _type:
                builtins.any (
                  one: hasPrefix "${toString one}/" "${path}/" || hasPrefix "${path}/" "${toString one}/"
                ) fileset;
            };
        };
      };

      packagesOf =
        system:
        let
          make =
            name: given: attributes:
            derivation (
              {
                inherit name system;
                builder = "/bin/sh";
              }
              // attributes
            )
            // {
              inherit given;
              meta = given.meta or { };
            };
          plain = name: make name { } { };
        in
        lib.genAttrs [
          "bash"
          "bubblewrap"
          "bun"
          "cacert"
          "coreutils"
          "findutils"
          "git"
          "git-lfs"
          "gnugrep"
          "gnutar"
          "nodejs"
          "postgresql"
          "redis"
          "socat"
          "tini"
        ] plain
        // {
          stdenv = {
            hostPlatform.isLinux = lib.last (lib.splitString "-" system) == "linux";
            mkDerivation =
              given:
              make "${given.pname}-${given.version}" given {
                inherit (given) src buildPhase installPhase;
                inherit (given) nativeBuildInputs;
              };
          };
          mkShell = given: make "shell" given { inherit (given) packages; };
          runCommand =
            name: environment: script:
            make name { inherit script; } (environment // { inherit script; });
          writeTextDir = path: text: make (baseNameOf path) { inherit path text; } { inherit text; };
          writeShellApplication =
            given:
            make given.name (given // { meta.mainProgram = given.name; }) {
              inherit (given) text;
              runtimeInputs = given.runtimeInputs or [ ];
            };
          dockerTools.buildLayeredImage =
            given:
            make "${given.name}.tar.gz" given {
              inherit (given) contents fakeRootCommands;
              config = builtins.toJSON given.config;
            };
        };
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ] packagesOf;
    };
}
