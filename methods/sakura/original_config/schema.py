"""Models of the original's JSON files."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from ..config_model import ConfigModel, ExistingFile, Flag, Genes, Integer, Number
from ..loss_terms import Activation

_SILENT = (
    "action", "cell_name_csv_path", "checkpoint_save_arch", "encode", "expr_csv_path",
    "expr_mat_pre_slice", "force_tensor_type", "gene_expr_MM_path", "gene_name_csv_path",
    "handle_unknown", "input_type",
    "log_loss_groups", "log_prefix", "loss_prog_on_test", "loss_weights_to_prog_on_test",
    "make_logs", "order", "persist_test_set", "pheno_df_dtype",
    "pheno_df_na_filter", "preslice_tests", "remark", "remarks", "reproducible",
    "save_raw_loss", "selected_pheno", "selected_signature",
    "test_main", "test_pheno", "test_signature",
    "uniform_n_labels", "verbose",
)  # fmt: skip
_IN_MEMORY = "cells are read from memory here"
UNUSED = dict.fromkeys(_SILENT, "") | {
    "dataloader_num_workers": _IN_MEMORY,
    "device": "not used; --device chooses it",
    "drop_last": _IN_MEMORY,
    "dump_configs": "not needed; configuration in fit.json has them",
    "dump_splits": "not needed; splits.csv has them",
    "encoder_config": "one layer leads to the latent dimensions here",
    "log_path": "not used; results go to --out",
    "pre_procedure": "no effect, as in the original",
    "prefetch_strategy": _IN_MEMORY,
    "reuse_factor": _IN_MEMORY,
    "rnd_seed": "not used; give --seed {value}",
}
"""Ignored keys → reason for the log; an empty reason is not logged."""
Positive: TypeAlias = Annotated[Integer, Field(ge=1)]
AttachTo: TypeAlias = Literal["main_lat", "signature_lat", "pheno_lat", "all_lat", "multiple"]
Decile: TypeAlias = Annotated[Integer, Field(ge=1, le=10)]
OutputActivation: TypeAlias = Activation | None
Width: TypeAlias = Integer | tuple[Integer, ...]


class OriginalModel(ConfigModel):
    unused = UNUSED


class WeightConfig(OriginalModel):
    weight: Number | None = Field(None, alias="init_weight")
    change: Number = Field(1.0, alias="progressive_const")
    start_epoch: Integer = Field(0, alias="progressive_start_epoch")
    mode: Literal["multiply", "increment"] = Field("multiply", alias="progressive_mode")
    cap: Number | None = Field(None, alias="max_weight")
    floor: Number | None = Field(None, alias="min_weight")
    enable_grl: Flag = Field(False, alias="enable_GRL")
    enable_gnl: Flag = Field(False, alias="enable_GNL")


class LossConfig(WeightConfig):
    type: str


class PriorConfig(WeightConfig):
    type: str
    n_projections: Integer = Field(50, alias="SW2_num_projections")
    low: Number = Field(-10.0, alias="uniform_low")
    high: Number = Field(10.0, alias="uniform_high")
    offsets: tuple[tuple[Number, ...], ...] = Field((), alias="uniform_label_offsets")
    n_components: Integer = Field(10, alias="gaussian_mixture_n_labels")
    radial_sd: Number = Field(0.5, alias="gaussian_mixture_x_var")
    tangential_sd: Number = Field(0.1, alias="gaussian_mixture_y_var")


class LayersConfig(OriginalModel):
    n_layers: Integer | None = Field(None, alias="hidden_layers")
    width: Width | None = Field(None, alias="hidden_neurons")
    activation: OutputActivation = Field(None, alias="output_activation_function")
    pre_encoder_out_dim: Integer | None = None
    dropout: Flag = False
    dropout_input: Flag = False
    dropout_hidden: Flag = False
    dropout_input_p: Number = 0.5
    dropout_hidden_p: Number = 0.5

    @property
    def dropout_rates(self) -> dict[str, float]:
        return {
            "dropout_input": self.dropout_input_p * (self.dropout and self.dropout_input),
            "dropout_hidden": self.dropout_hidden_p * (self.dropout and self.dropout_hidden),
        }


class SpaceConfig(OriginalModel):
    type: Literal["main", "signature", "pheno"]
    key: str | None = None


class HeadConfig(LayersConfig):
    type: str | None = None
    attach: Flag = False
    attach_to: AttachTo | None = None
    attach_key: str | tuple[SpaceConfig, ...] | None = None


class StepConfig(OriginalModel):
    type: Literal["ToTensor", "ToBinary", "ToOrdinal", "ToOnehot", "ToKBins"]
    n_bins: Annotated[Integer, Field(ge=2)] = 5
    strategy: Literal["uniform", "quantile", "kmeans"] = "quantile"
    threshold: Number = 0.0
    inverse: Flag = False
    scale_factor: Number = 1.0


class SplitConfig(OriginalModel):
    type: Literal["auto", "none"] = "none"
    base: str = "all"
    train_dec: Decile | None = None
    seed: Integer = 0


class TermsConfig(OriginalModel):
    loss: dict[str, LossConfig] = {}
    regularization: dict[str, PriorConfig] = {}


class GuideConfig(TermsConfig):
    split: SplitConfig = SplitConfig()
    head: HeadConfig = Field(HeadConfig(), alias="model")
    post_procedure: tuple[StepConfig, ...] = ()


class SignatureConfig(GuideConfig):
    genes: Genes = Field(alias="signature_list")
    dim: Integer = Field(alias="signature_lat_dim")
    width: Integer | None = Field(None, alias="signature_out_dim")
    exclude_from_input: Flag = False


class PhenotypeConfig(GuideConfig):
    type: Literal["categorical", "numerical"]
    pheno_df_key: str | None = None
    pheno_df_keys: tuple[str, ...] | None = None
    order: tuple[str, ...] = ()
    dim: Integer = Field(alias="pheno_lat_dim")
    width: Integer | None = Field(None, alias="pheno_out_dim")


class DatasetConfig(OriginalModel):
    type: Any = None
    signature_config_path: ExistingFile | None = None
    pheno_meta_path: ExistingFile | None = None
    pheno_config_path: ExistingFile | None = None
    pheno_csv_path: str = ""
    selected_signature: tuple[str, ...] = ()
    selected_pheno: tuple[str, ...] = ()


class LatentConfig(TermsConfig):
    encoder_neurons: Positive
    decoder_neurons: Positive
    latent_dim: Positive
    decoder: LayersConfig = Field(LayersConfig(), alias="decoder_config")


class ExcludeConfig(OriginalModel):
    type: str
    name: str | None = None


class OptimizerConfig(OriginalModel):
    type: Literal["RMSProp"] = "RMSProp"
    learning_rate: Number = Field(alias="RMSProp_lr")
    alpha: Number = Field(alias="RMSProp_alpha")
    weight_decay: Number = Field(0.0, alias="RMSProp_weight_decay")
    momentum: Number = Field(0.0, alias="RMSProp_momentum")
    excludes: tuple[ExcludeConfig, ...] = ()


class MainConfig(OriginalModel):
    dataset: DatasetConfig = DatasetConfig()
    latent: LatentConfig = Field(alias="main_latent")
    encoder: LayersConfig = Field(LayersConfig(), alias="pre_encoder_config")
    optimizer: OptimizerConfig
    split: SplitConfig = Field(SplitConfig(), alias="overall_train_test_split")
    manual_split: Flag = False
    manual_split_pkl_path: ExistingFile | None = None
    story: list[dict[str, Any]] = []
    """Actions, validated as :class:`TrainConfig`, HybridConfig or TestConfig."""


class SelectionConfig(OriginalModel):
    loss: Literal["*"] | tuple[str, ...] = "*"
    regularization: Literal["*"] | tuple[str, ...] = "*"


class TaskConfig(OriginalModel):
    use_split: str
    batch_size: Integer = 50
    train_main_latent: Flag = False
    train_signature: Flag = False
    train_pheno: Flag = False
    selected_signature: dict[str, SelectionConfig] | None = None
    selected_pheno: dict[str, SelectionConfig] | None = None
    detach: Flag = False
    detach_from: Literal["pre_encoder", "encoder"] = "pre_encoder"


class TestConfig(OriginalModel):
    on_split: str
    latent_prefix: str = ""
    latent: Flag = Field(False, alias="dump_latent")
    pre_encoder: Flag = Field(False, alias="dump_pre_encoder_output")
    reconstruction: Flag = Field(False, alias="dump_reconstructed_output")
    phenotypes: Flag = Field(False, alias="dump_predicted_phenos")
    signatures: Flag = Field(False, alias="dump_predicted_signatures")
    reconstructed_output_naming: Literal["dimid", "genenames"] = "dimid"
    compression: str = "none"


class SegmentConfig(OriginalModel):
    """Tests and checkpoints in a training."""

    tests: tuple[TestConfig, ...] = ()
    test_segment: Integer = Field(0, ge=0)
    test_epochs: Flag = Field(False, alias="test_every_epoch")
    test_on_segment: Flag = False
    perform_test: Flag = False
    keep_segment: Integer = Field(0, ge=0, alias="checkpoint_segment")
    keep_epochs: Flag = Field(False, alias="checkpoint_every_epoch")
    checkpoint_on_segment: Flag = False
    perform_checkpoint: Flag = False
    keep_prefix: str = Field("", alias="checkpoint_prefix")

    @property
    def tests_by_step(self) -> bool:
        return self.test_on_segment or self.perform_test

    @property
    def keeps_by_step(self) -> bool:
        return self.checkpoint_on_segment or self.perform_checkpoint


class TrainConfig(TaskConfig, SegmentConfig):
    epochs: Positive


class HybridConfig(SegmentConfig):
    ticks: Positive = 50_000
    hybrid_mode: Literal["interleave", "sum"] = "interleave"
    prog_loss_weight_mode: str = "epoch_end"
    split_configs: Annotated[dict[str, TaskConfig], Field(min_length=1)]
